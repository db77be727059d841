/* custom_operator.c - a program that brings an operator of its own: Scale of domain "com.example" multiplies by the
 * attribute `factor`. Passes and other engines know nothing of it; Ingot runs it like any other node.
 *
 *     cc custom_operator.c $(pkg-config --cflags --libs ingot) -o custom_operator
 *     ./custom_operator custom_operator.onnx
 */
#include <ingot.h>
#include <stdio.h>

/* One output, like the input. */
static ingot_status infer_scale(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    (void)user;
    return ingot_custom_set_output(node, 0, x->dtype, x->rank, x->shape);
}

typedef struct scaling {
    const float *from;
    float *to, factor;
} scaling;

static void scale_part(void *argument, int64_t begin, int64_t end, int32_t thread)
{
    const scaling *s = argument;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        s->to[i] = s->factor * s->from[i];
}

static ingot_status run_scale(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    scaling s = { x->data, ingot_custom_output(node, 0)->data, ingot_custom_float(node, "factor", 1) };
    int *n_calls = user;
    ++*n_calls;
    ingot_custom_parallel(node, ingot_tensor_count(x), 4096, scale_part, &s); /* on the session's threads */
    return INGOT_OK;
}

int main(int argc, char **argv)
{
    int n_calls = 0;
    float numbers[] = { 1, 2, 3, 4 };
    const ingot_custom_operator scale = { .size_bytes = sizeof scale, .domain = "com.example", .op_type = "Scale",
                                          .min_inputs = 1, .max_inputs = 1, .types = { 1u << INGOT_FLOAT },
                                          .user = &n_calls, .infer = infer_scale, .run = run_scale };
    const ingot_custom_operator *const operators[] = { &scale, NULL };
    const ingot_model_options options = { .size_bytes = sizeof options, .operators = operators };
    const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 1, .shape = { 4 }, .data = numbers };
    ingot_error error;
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    const char *path = argc > 1 ? argv[1] : "models/custom_operator.onnx";
    ingot_status status = ingot_model_load(path, &options, &model, &error);
    if (!status)
        status = ingot_session_create(model, NULL, &session, &error);
    if (!status)
        status = ingot_session_set_input(session, "x", &x, &error);
    if (!status)
        status = ingot_session_run(session, &error);
    if (status) {
        fprintf(stderr, "custom_operator: %s\n", error.message);
    } else {
        const float *y = ingot_session_output(session, 0)->data; /* Relu(Scale(x)) + x */
        printf("%g %g %g %g after %d call\n", (double)y[0], (double)y[1], (double)y[2], (double)y[3], n_calls);
    }
    ingot_session_free(session);
    ingot_model_free(model);
    return (int)status;
}
