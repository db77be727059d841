/* ingot.hpp - ingot.h for C++17: owners that free what they own, element types from C++ types, exceptions where they are enabled.
 *
 *     ingot::model model("MyNet.onnx");
 *     ingot::session session(model);
 *     session.set_input("input", ingot::tensor(pixels, {1, 3, 32, 32}));   // reads `pixels` where they lie
 *     session.run();
 *     for (float score : session.output(0).elements<float>()) ...
 *
 * Every call that can fail comes in two forms, as in std::filesystem: one throws ingot::error, the other is noexcept, takes an
 * ingot_error and returns whether all went well; constructors then leave an object that is false. With -fno-exceptions only the
 * second form is there. Header only; link with libingot. The rules on threads and lifetimes are those of ingot.h. */
#ifndef INGOT_HPP
#define INGOT_HPP

#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif
#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

#include "ingot.h"

namespace ingot {

/* ---- errors ---- */

#if defined(__cpp_exceptions)
/* The engine's line, and the class of failures it belongs to. */
class error : public std::runtime_error {
public:
    explicit error(const ingot_error &e) : std::runtime_error(e.message), status_(e.status) {}
    ingot_status status() const noexcept { return status_; }

private:
    ingot_status status_;
};
#endif

/* ---- values ---- */

/* Neighbouring elements; from C++20 on it becomes a std::span wherever one is asked for. */
template <class T> class span {
public:
    span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    T *begin() const noexcept { return data_; }
    T *end() const noexcept { return data_ + size_; }
    T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    T &operator[](std::size_t i) const noexcept { return data_[i]; }
#if defined(__cpp_lib_span)
    operator std::span<T>() const noexcept { return {data_, size_}; }
#endif

private:
    T *data_;
    std::size_t size_;
};

/* ONNX's number of a C++ type's elements; INGOT_UNDEFINED for types that no tensor has. */
template <class T> constexpr ingot_dtype dtype_of() noexcept
{
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_same_v<U, float>) return INGOT_FLOAT;
    else if constexpr (std::is_same_v<U, double>) return INGOT_DOUBLE;
    else if constexpr (std::is_same_v<U, bool>) return INGOT_BOOL;
    else if constexpr (std::is_same_v<U, ingot_string>) return INGOT_STRING;
    else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>)
        return sizeof(U) == 1 ? INGOT_INT8 : sizeof(U) == 2 ? INGOT_INT16 : sizeof(U) == 4 ? INGOT_INT32 : INGOT_INT64;
    else if constexpr (std::is_integral_v<U>)
        return sizeof(U) == 1 ? INGOT_UINT8 : sizeof(U) == 2 ? INGOT_UINT16 : sizeof(U) == 4 ? INGOT_UINT32 : INGOT_UINT64;
    else return INGOT_UNDEFINED;
}

/* A view of a tensor: it owns nothing. */
class tensor {
public:
    tensor() noexcept = default;
    explicit tensor(const ingot_tensor &raw) noexcept : raw_(raw) {}

    /* Row-major elements of `shape` (at most INGOT_MAX_RANK sizes), which stay the caller's. */
    template <class T> tensor(T *data, std::initializer_list<std::int64_t> shape) noexcept : tensor(data, shape.begin(), shape.size()) {}
    template <class T> tensor(T *data, const std::int64_t *shape, std::size_t rank) noexcept
    {
        static_assert(dtype_of<T>() != INGOT_UNDEFINED, "no tensor has elements of this type");
        raw_.dtype = dtype_of<T>();
        raw_.rank = static_cast<std::int32_t>(rank < INGOT_MAX_RANK ? rank : INGOT_MAX_RANK);
        for (std::int32_t i = 0; i < raw_.rank; i++)
            raw_.shape[i] = shape[i];
        raw_.data = const_cast<std::remove_cv_t<T> *>(data);
    }

    explicit operator bool() const noexcept { return raw_.data != nullptr; }
    ingot_dtype dtype() const noexcept { return raw_.dtype; }
    span<const std::int64_t> shape() const noexcept { return {raw_.shape, static_cast<std::size_t>(raw_.rank)}; }
    std::size_t size() const noexcept { return static_cast<std::size_t>(ingot_tensor_count(&raw_)); }
    const ingot_tensor *get() const noexcept { return &raw_; }

    /* The elements; none where T is not their type. */
    template <class T> span<const T> elements() const noexcept
    {
        const bool fits = raw_.dtype == dtype_of<T>() && raw_.kind == INGOT_TENSOR && raw_.data;
        return {static_cast<const T *>(raw_.data), fits ? size() : 0};
    }

private:
    ingot_tensor raw_{};
};

namespace detail {
struct free_model { void operator()(ingot_model *m) const noexcept { ingot_model_free(m); } };
struct free_session { void operator()(ingot_session *s) const noexcept { ingot_session_free(s); } };

/* Turns a status into an exception, where there are any. */
#if defined(__cpp_exceptions)
inline void check(bool good, const ingot_error &e)
{
    if (!good)
        throw error(e);
}
#endif
} // namespace detail

/* Options with size_bytes set; what is not set is the default. */
inline ingot_model_options model_options() noexcept
{
    ingot_model_options o{};
    o.size_bytes = sizeof o;
    return o;
}

inline ingot_session_options session_options() noexcept
{
    ingot_session_options o{};
    o.size_bytes = sizeof o;
    return o;
}

/* ---- operators of the host ---- */

/* A node of an operator of the host, during a call. See ingot_custom in ingot.h. */
class node {
public:
    explicit node(ingot_custom *raw) noexcept : raw_(raw) {}
    ingot_custom *get() const noexcept { return raw_; }
    std::size_t n_inputs() const noexcept { return ingot_custom_n_inputs(raw_); }
    std::size_t n_outputs() const noexcept { return ingot_custom_n_outputs(raw_); }

    /* False where it is left out. */
    tensor input(std::size_t i) const noexcept
    {
        const ingot_tensor *t = ingot_custom_input(raw_, i);
        return t ? tensor(*t) : tensor();
    }
    ingot_status set_output(std::size_t i, ingot_dtype dtype, span<const std::int64_t> shape) noexcept
    {
        return ingot_custom_set_output(raw_, i, dtype, static_cast<std::int32_t>(shape.size()), shape.data());
    }
    /* For infer(): only run() can tell the shape. */
    ingot_status set_output_later(std::size_t i, ingot_dtype dtype) noexcept
    {
        return ingot_custom_set_output(raw_, i, dtype, -1, nullptr);
    }
    /* In run(): the elements to fill; none where nobody wants them, or T is not their type. */
    template <class T> span<T> output(std::size_t i) const noexcept
    {
        const ingot_tensor *t = ingot_custom_output(raw_, i);
        const bool fits = t && t->dtype == dtype_of<T>();
        return {fits ? static_cast<T *>(t->data) : nullptr, fits ? static_cast<std::size_t>(ingot_tensor_count(t)) : 0};
    }

    std::int64_t attribute(const char *name, std::int64_t otherwise) const noexcept
    {
        return ingot_custom_int(raw_, name, otherwise);
    }
    float attribute(const char *name, float otherwise) const noexcept
    {
        return ingot_custom_float(raw_, name, otherwise);
    }
    bool attribute(const char *name, ingot_attribute &a) const noexcept
    {
        return ingot_custom_attribute(raw_, name, &a);
    }
    bool cancelled() const noexcept { return ingot_custom_cancelled(raw_); }
    ingot_status fail(ingot_status status, const char *message) noexcept
    {
        return ingot_custom_fail(raw_, status, message);
    }

    /* task(begin, end, thread) for parts of [0, n), on the session's threads; it may not throw. */
    template <class F> void parallel(std::int64_t n, std::int64_t grain, F &&task)
    {
        using f = std::remove_reference_t<F>;
        ingot_custom_parallel(
            raw_, n, grain,
            [](void *argument, std::int64_t begin, std::int64_t end, std::int32_t thread) {
                (*static_cast<f *>(argument))(begin, end, thread);
            },
            const_cast<void *>(static_cast<const void *>(std::addressof(task))));
    }

private:
    ingot_custom *raw_;
};

/* Operators that the host brings along: functions that take a node and return a status; what they throw becomes the
 * line of INGOT_USAGE. Copies share them, and a model that is loaded with them keeps them. */
class operators {
public:
    using function = std::function<ingot_status(node &)>;

    /* `versions` of the domain and `inputs` are the least and the most; {1, 0}: all, {n, -1}: from n on. */
    operators &add(std::string domain, std::string op_type, std::pair<std::int32_t, std::int32_t> inputs,
                   function infer, function run, std::pair<std::int32_t, std::int32_t> versions = {1, 0})
    {
        auto made = std::make_unique<entry>();
        made->domain = std::move(domain);
        made->op_type = std::move(op_type);
        made->infer = std::move(infer);
        made->run = std::move(run);
        made->raw.size_bytes = sizeof made->raw;
        made->raw.domain = made->domain.c_str();
        made->raw.op_type = made->op_type.c_str();
        made->raw.min_inputs = inputs.first;
        made->raw.max_inputs = inputs.second;
        made->raw.first = versions.first;
        made->raw.last = versions.second;
        made->raw.user = made.get();
        made->raw.infer = call<&entry::infer>;
        made->raw.run = call<&entry::run>;
        list_->pointers.insert(list_->pointers.end() - 1, &made->raw);
        list_->entries.push_back(std::move(made));
        return *this;
    }

    /* For ingot_model_options.operators. */
    const ingot_custom_operator *const *get() const noexcept { return list_->pointers.data(); }

private:
    struct entry {
        std::string domain, op_type;
        function infer, run;
        ingot_custom_operator raw{};
    };
    struct list {
        std::vector<std::unique_ptr<entry>> entries;
        std::vector<const ingot_custom_operator *> pointers{nullptr};
    };

    template <function entry::*member> static ingot_status call(ingot_custom *raw, void *user)
    {
        node n(raw);
#if defined(__cpp_exceptions)
        try {
            return (static_cast<entry *>(user)->*member)(n);
        } catch (const std::exception &e) {
            return n.fail(INGOT_USAGE, e.what());
        } catch (...) {
            return n.fail(INGOT_USAGE, "the host's function threw something");
        }
#else
        return (static_cast<entry *>(user)->*member)(n);
#endif
    }

    std::shared_ptr<list> list_ = std::make_shared<list>();
};

/* ---- models and sessions ---- */

/* A loaded model, shared by its copies and by its sessions: the last one frees it. Copies may go to other threads. */
class model {
public:
    model() noexcept = default;

    model(const char *path, const ingot_model_options *options, ingot_error &e) noexcept
    {
        ingot_model *raw = nullptr;
        if (ingot_model_load(path, options, &raw, &e) == INGOT_OK)
            model_.reset(raw, detail::free_model());
    }
    model(const void *data, std::size_t size_bytes, const ingot_model_options *options, ingot_error &e) noexcept
    {
        ingot_model *raw = nullptr;
        if (ingot_model_load_memory(data, size_bytes, options, &raw, &e) == INGOT_OK)
            model_.reset(raw, detail::free_model());
    }
#if defined(__cpp_exceptions)
    explicit model(const std::string &path, const ingot_model_options *options = nullptr)
    {
        ingot_error e;
        *this = model(path.c_str(), options, e);
        detail::check(static_cast<bool>(*this), e);
    }
    /* The same with operators of the host. */
    model(const std::string &path, const operators &host, ingot_model_options options = model_options())
    {
        ingot_error e;
        *this = model(path.c_str(), host, options, e);
        detail::check(static_cast<bool>(*this), e);
    }
#endif
    model(const char *path, const operators &host, ingot_model_options options, ingot_error &e)
    {
        options.operators = host.get();
        *this = model(path, &options, e);
        host_ = std::make_shared<operators>(host);
    }

    explicit operator bool() const noexcept { return model_ != nullptr; }
    ingot_model *get() const noexcept { return model_.get(); }
    std::size_t n_inputs() const noexcept { return ingot_model_n_inputs(get()); }
    std::size_t n_outputs() const noexcept { return ingot_model_n_outputs(get()); }
    const ingot_value_info *input(std::size_t i) const noexcept { return ingot_model_input(get(), i); }
    const ingot_value_info *output(std::size_t i) const noexcept { return ingot_model_output(get(), i); }

private:
    std::shared_ptr<operators> host_;    /* outlives the model: members are destroyed last to first */
    std::shared_ptr<ingot_model> model_;
};

/* What runs a model, one thread at a time. */
class session {
public:
    session() noexcept = default;

    session(const model &m, const ingot_session_options *options, ingot_error &e) noexcept : model_(m)
    {
        ingot_session *raw = nullptr;
        if (ingot_session_create(m.get(), options, &raw, &e) == INGOT_OK)
            session_.reset(raw);
    }
    bool set_input(const char *name, const tensor &t, ingot_error &e) noexcept
    {
        return ingot_session_set_input(get(), name, t.get(), &e) == INGOT_OK;
    }
    /* Where the runs that follow write an output; nullptr: into the session's own memory again. */
    bool set_output(const char *name, const tensor *t, ingot_error &e) noexcept
    {
        return ingot_session_set_output(get(), name, t ? t->get() : nullptr, &e) == INGOT_OK;
    }
    bool run(ingot_error &e) noexcept { return ingot_session_run(get(), &e) == INGOT_OK; }
#if defined(__cpp_exceptions)
    explicit session(const model &m, const ingot_session_options *options = nullptr)
    {
        ingot_error e;
        *this = session(m, options, e);
        detail::check(static_cast<bool>(*this), e);
    }
    void set_input(const char *name, const tensor &t)
    {
        ingot_error e;
        detail::check(set_input(name, t, e), e);
    }
    void set_output(const char *name, const tensor &t)
    {
        ingot_error e;
        detail::check(set_output(name, &t, e), e);
    }
    void run()
    {
        ingot_error e;
        detail::check(run(e), e);
    }
#endif

    /* From any thread: the run that is under way ends with INGOT_CANCELLED. */
    void cancel() noexcept { ingot_session_cancel(get()); }

    /* Valid until the next call on the session; false where there is none. */
    tensor output(std::size_t i) const noexcept { return view(ingot_session_output(get(), i)); }
    tensor value(const char *name) const noexcept { return view(ingot_session_value(get(), name)); }

    explicit operator bool() const noexcept { return session_ != nullptr; }
    ingot_session *get() const noexcept { return session_.get(); }

private:
    static tensor view(const ingot_tensor *raw) noexcept { return raw ? tensor(*raw) : tensor(); }

    model model_;                 /* outlives the session: members are destroyed last to first */
    std::unique_ptr<ingot_session, detail::free_session> session_;
};

} // namespace ingot

#endif
