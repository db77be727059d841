// embed.cpp - a loop like a camera's, in C++: batches of changing size go through one session.
//
//     c++ -std=c++17 embed.cpp $(pkg-config --cflags --libs ingot) -o embed && ./embed MyNet.onnx
#include <algorithm>
#include <cstdio>
#include <ingot.hpp>
#include <vector>

constexpr std::int64_t channels = 3, side = 32, image = channels * side * side;

int main(int argc, char **argv)
try {
    ingot::model model(argc > 1 ? argv[1] : "models/MyNet.onnx");
    ingot::session session(model);
    for (std::int64_t batch : {1, 4, 2, 4}) { // a plan is made for each new size and kept
        std::vector<float> frames(static_cast<std::size_t>(batch * image), 0.5f);
        session.set_input("x", ingot::tensor(frames.data(), {batch, channels, side, side}));
        session.run();
        const auto scores = session.output(0).elements<float>(); // (batch, 10)
        const auto classes = scores.size() / static_cast<std::size_t>(batch);
        const auto best = std::max_element(scores.begin(), scores.begin() + classes) - scores.begin();
        std::printf("%lld frames, the first looks like a %ld\n", static_cast<long long>(batch), static_cast<long>(best));
    }
} catch (const ingot::error &e) {
    std::fprintf(stderr, "embed: %s\n", e.what());
    return e.status();
}
