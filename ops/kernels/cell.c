/* cell.c - recurrent layers in float: a block of units is a vector of the instruction set, and the gates' functions are
 * those of vmath.h. The loops are cell_loops.h's; cell_f64.c has them for double. */
#include "ops/kernels/vmath.h"

#define T float
#define TYPED(name) name##_f32
#define V(name) vf32_##name
#define LANES VF32_LANES
#define SUMS (2 * GEMM_MR)          /* as the matrix product's tile */
typedef vf32 vector;

/* The functions that hardly any model uses, called out of line so that sigmoid and tanh stay short. */
static vf32 rare_gate(const ingot_gate *g, vf32 x)
{
    const vf32 a = vf32_set1(g->alpha), b = vf32_set1(g->beta), one = vf32_set1(1.0f);

    switch (g->function) {
    case INGOT_GATE_RELU: return vf32_relu(x);
    case INGOT_GATE_LEAKY_RELU: return vf32_leaky_relu(x, a);
    case INGOT_GATE_HARD_SIGMOID: return vf32_hard_sigmoid(x, a, b);
    case INGOT_GATE_ELU: return vf32_elu(x, a, one, one);
    case INGOT_GATE_AFFINE: return vf32_fma(a, x, b);
    case INGOT_GATE_THRESHOLDED_RELU: return vf32_select(vf32_le(a, x), x, vf32_zero());
    case INGOT_GATE_SCALED_TANH: return vf32_mul(a, vf32_tanh(vf32_mul(b, x)));
    case INGOT_GATE_SOFTSIGN: return vf32_div(x, vf32_add(one, vf32_abs(x)));
    case INGOT_GATE_SOFTPLUS: return vf32_softplus(x);
    default: return x;
    }
}

#include "ops/kernels/cell_loops.h"
