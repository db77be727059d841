/* cell_f64.c - recurrent layers in double, with the C library's functions: a vector has one lane, so that the loops of
 * cell_loops.h serve as they are. For results, not for speed: few models compute in double. Multiply and add round
 * each, so that every instruction set gives the same bits. */
#include <math.h>

#include "ops/kernels/isa.h"

#define T double
#define TYPED(name) name##_f64
#define V(name) one_##name
#define LANES 1
#define SUMS 4
typedef double vector;

/* The operations of vf32, on one lane; min and max keep the NaN of their second operand in the same way. */
INGOT_INLINE double one_zero(void) { return 0.0; }
INGOT_INLINE double one_set1(double x) { return x; }
INGOT_INLINE double one_load(const double *p) { return *p; }
INGOT_INLINE double one_load_n(const double *p, size_t n) { return n ? *p : 0.0; }
INGOT_INLINE void one_store(double *p, double x) { *p = x; }

/* n is 0 for units past the last one, which are not stored. */
INGOT_INLINE void one_store_n(double *p, double x, size_t n)
{
    if (n)
        *p = x;
}

INGOT_INLINE double one_add(double a, double b) { return a + b; }
INGOT_INLINE double one_sub(double a, double b) { return a - b; }
INGOT_INLINE double one_mul(double a, double b) { return a * b; }
INGOT_INLINE double one_fma(double a, double b, double c) { return a * b + c; }
INGOT_INLINE double one_acc(double acc, double a, double b) { return acc + a * b; }
INGOT_INLINE double one_min(double a, double b) { return a < b ? a : b; }
INGOT_INLINE double one_max(double a, double b) { return a > b ? a : b; }
INGOT_INLINE double one_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
INGOT_INLINE double one_tanh(double x) { return tanh(x); }

/* The functions that hardly any model uses. */
static double rare_gate(const ingot_gate *g, double x)
{
    const double a = g->alpha, b = g->beta;

    switch (g->function) {
    case INGOT_GATE_RELU: return x < 0 ? 0 : x;
    case INGOT_GATE_LEAKY_RELU: return x < 0 ? a * x : x;
    case INGOT_GATE_HARD_SIGMOID: x = a * x + b; return x < 0 ? 0 : x > 1 ? 1 : x;
    case INGOT_GATE_ELU: return x < 0 ? a * expm1(x) : x;
    case INGOT_GATE_AFFINE: return a * x + b;
    case INGOT_GATE_THRESHOLDED_RELU: return x >= a ? x : 0;
    case INGOT_GATE_SCALED_TANH: return a * tanh(b * x);
    case INGOT_GATE_SOFTSIGN: return x / (1 + fabs(x));
    case INGOT_GATE_SOFTPLUS: return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    default: return x;
    }
}

#include "ops/kernels/cell_loops.h"
