/* training.c - Adagrad, Adam and Momentum: one step of an optimizer on any number of tensors. Inputs are R (the
 * learning rate), T (how many steps there were), then all tensors, all their gradients and all of each state; outputs
 * are the new tensors and states in that order. Computed in double. */
#include <math.h>
#include <string.h>

#include "ops/op.h"
#include "ops/scalar.h"

/* Inputs: learning rate, count of steps, and where the tensors begin. */
enum { R, T, FIRST };

/* Attributes and inputs of one step; which of them an operator reads is seen in its move function. */
typedef struct step {
    double rate, count;
    double alpha, beta, epsilon, norm, norm_post, decay;
    bool nesterov;
} step;

/* x and its states move by gradient g; which states there are depends on the operator. */
typedef void move_fn(const step *s, double *x, double g, double state[2]);

/* One element of Adagrad: state[0] is the sum of squared gradients; the rate decays with the count T. */
static void move_adagrad(const step *s, double *x, double g, double state[2])
{
    const double regular = s->norm * *x + g;

    state[0] += regular * regular;
    *x -= s->rate / (1 + s->count * s->decay) * regular / (sqrt(state[0]) + s->epsilon);
}

/* One element of Adam: state is (V, H), the running mean of gradients and of their squares; the bias is corrected
 * from T > 0 on. */
static void move_adam(const step *s, double *x, double g, double state[2])
{
    const double regular = s->norm * *x + g, t = s->count;
    const double rate = t > 0 ? s->rate * sqrt(1 - pow(s->beta, t)) / (1 - pow(s->alpha, t)) : s->rate;

    state[0] = s->alpha * state[0] + (1 - s->alpha) * regular;
    state[1] = s->beta * state[1] + (1 - s->beta) * regular * regular;
    *x = (1 - s->norm_post) * (*x - rate * state[0] / (sqrt(state[1]) + s->epsilon));
}

/* One element of Momentum; the first step (T = 0) takes the gradient as it is, without beta. */
static void move_momentum(const step *s, double *x, double g, double state[2])
{
    const double regular = s->norm * *x + g;

    state[0] = s->alpha * state[0] + (s->count > 0 ? s->beta : 1) * regular;
    *x -= s->rate * (s->nesterov ? regular + s->alpha * state[0] : state[0]);
}

/* Adam keeps two tensors of state for each X, the others one. */
static int n_states(const ingot_op_ctx *c) { return strcmp(c->op->op_type, "Adam") ? 1 : 2; }

/* Tensors that are optimized: a tensor, its gradient and its states are as many inputs, all of one type and shape.
 * INVALID when inputs are no whole number of these, or R or T is no scalar. */
static ingot_status count_tensors(ingot_op_ctx *c, int *n)
{
    const int each = 2 + n_states(c);

    *n = (c->n_in - FIRST) / each;
    if (*n < 1 || *n * each != c->n_in - FIRST || c->n_out > *n * (each - 1) || ingot_count(c->in[R]) != 1 ||
        ingot_count(c->in[T]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "%d inputs and %d outputs do not make whole steps", c->n_in, c->n_out);
    for (int i = FIRST; i < c->n_in; i++) {
        const ingot_tensor *like = c->in[FIRST + (i - FIRST) % *n];
        if (!c->in[i] || c->in[i]->dtype != like->dtype || !ingot_same_shape(c->in[i], like) ||
            (like->dtype != INGOT_FLOAT && like->dtype != INGOT_DOUBLE))
            return ingot_op_fail(c, INGOT_INVALID, "input %d does not fit the tensor it belongs to", i);
    }
    return INGOT_OK;
}

/* Outputs are all new X, then the new states, each like its X. */
static ingot_status infer_step(ingot_op_ctx *c)
{
    int n;
    ingot_status st = count_tensors(c, &n);

    for (int i = 0; i < c->n_out && !st; i++)
        st = ingot_out_like(c, i, c->in[FIRST + i % n]);
    return st;
}

/* Inputs after R and T are all X, all gradients, then all states. Computed in double, element by element. */
static ingot_status run_steps(ingot_op_ctx *c, move_fn *move, const step *s)
{
    const int states = n_states(c);
    int n;
    ingot_status st = count_tensors(c, &n);

    for (int i = 0; i < n && !st; i++) {
        ingot_tensor *const *in = c->in + FIRST + i;
        for (int64_t e = 0, count = ingot_count(in[0]); e < count; e++) {
            double x = ingot_double_at(in[0], e), state[2] = { 0 };
            for (int k = 0; k < states; k++)
                state[k] = ingot_double_at(in[(2 + k) * n], e);
            move(s, &x, ingot_double_at(in[n], e), state);
            for (int k = 0; k <= states; k++)
                if (i + k * n < c->n_out && c->out[i + k * n])
                    ingot_put_double(c->out[i + k * n], e, k ? state[k - 1] : x);
        }
    }
    return st;
}

/* An attribute as a double. */
static double number(const ingot_op_ctx *c, const char *name, float otherwise)
{
    return (double)ingot_attr_float(c->node, name, otherwise);
}

/* R, T and all attributes, with the defaults of the standard. */
static step read_step(const ingot_op_ctx *c)
{
    return (step){ .rate = ingot_double_at(c->in[R], 0), .count = (double)ingot_int_at(c->in[T], 0),
                   .norm = number(c, "norm_coefficient", 0), .norm_post = number(c, "norm_coefficient_post", 0),
                   .epsilon = number(c, "epsilon", 1e-6f), .decay = number(c, "decay_factor", 0),
                   .alpha = number(c, "alpha", 0.9f), .beta = number(c, "beta", 0.999f) };
}

/* The three operators differ in how an element moves. */
static ingot_status run_adagrad(ingot_op_ctx *c)
{
    const step s = read_step(c);
    return run_steps(c, move_adagrad, &s);
}

static ingot_status run_adam(ingot_op_ctx *c)
{
    const step s = read_step(c);
    return run_steps(c, move_adam, &s);
}

/* mode: "standard", or "nesterov" for Nesterov's momentum. */
static ingot_status run_momentum(ingot_op_ctx *c)
{
    const char *mode = ingot_attr_string(c->node, "mode", "standard");
    step s = read_step(c);

    s.nesterov = !strcmp(mode, "nesterov");
    if (!s.nesterov && strcmp(mode, "standard"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'mode': '%.40s' is not known", mode);
    return run_steps(c, move_momentum, &s);
}

#define F (INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE))
#define DOMAIN "ai.onnx.preview.training"
#define TYPES { F, INGOT_TYPE(INT64), F, F, F, F }        /* the last holds for all further inputs */

const ingot_op ingot_ops_training[] = {
    { "Adagrad", 1, 5, INGOT_MANY, TYPES, infer_step, run_adagrad, .domain = DOMAIN },
    { "Adam", 1, 6, INGOT_MANY, TYPES, infer_step, run_adam, .domain = DOMAIN },
    { "Momentum", 1, 5, INGOT_MANY, TYPES, infer_step, run_momentum, .domain = DOMAIN },
    {0},
};
