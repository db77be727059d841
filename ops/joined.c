/* joined.c - contexts for the nodes of steps that the planner makes of two. */
#include "ops/joined.h"

bool ingot_joined_rest(ingot_op_ctx *c, ingot_tensor *first, int from, ingot_op_ctx *rest)
{
    const int n = 1 + c->n_in - from;
    ingot_tensor **in = ingot_keep(c, (size_t)n * sizeof *in);
    const ingot_const **constants = ingot_keep(c, (size_t)n * sizeof *constants);

    if (!in || !constants)
        return false;
    in[0] = first;
    for (int i = 1; i < n; i++) {
        in[i] = c->in[from + i - 1];
        constants[i] = c->constants[from + i - 1];
    }
    *rest = *c;
    rest->parent = c;
    rest->n_in = n;
    rest->in = in;
    rest->constants = constants;
    return true;
}
