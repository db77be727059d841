// custom_operator.cpp - the operator of custom_operator.c in C++.
//
//     c++ -std=c++17 custom_operator.cpp $(pkg-config --cflags --libs ingot) -o custom_operator
//     ./custom_operator custom_operator.onnx
#include <cstdio>
#include <ingot.hpp>

int main(int argc, char **argv)
try {
    ingot::operators host;
    host.add("com.example", "Scale", {1, 1},
        [](ingot::node &n) { return n.set_output(0, INGOT_FLOAT, n.input(0).shape()); },
        [](ingot::node &n) {
            const auto x = n.input(0).elements<float>();
            const auto y = n.output<float>(0);
            const float factor = n.attribute("factor", 1.0f);
            n.parallel(static_cast<std::int64_t>(x.size()), 4096, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t i = begin; i < end; i++)
                    y[static_cast<std::size_t>(i)] = factor * x[static_cast<std::size_t>(i)];
            });
            return INGOT_OK;
        });
    ingot::session session(ingot::model(argc > 1 ? argv[1] : "models/custom_operator.onnx", host)); // which keeps both
    const float numbers[] = {1, 2, 3, 4};
    session.set_input("x", ingot::tensor(numbers, {4}));
    session.run();
    for (float y : session.output(0).elements<float>()) // Relu(Scale(x)) + x
        std::printf("%g ", static_cast<double>(y));
    std::printf("\n");
} catch (const ingot::error &e) {
    std::fprintf(stderr, "custom_operator: %s\n", e.what());
    return e.status();
}
