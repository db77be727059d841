/* check.c - what kernel tests share: see check.h. */
#include "check.h"

#include <stdarg.h>

static int check_failures;
int64_t check_count;
static uint32_t check_seed = 1;

void check_fail(const char *format, ...)
{
    va_list args;
    if (check_failures++ >= 20)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

float check_random(void)
{
    check_seed = check_seed * 1664525u + 1013904223u;
    return (float)(int32_t)check_seed * (1.0f / 2147483648.0f);
}

float *check_floats(int64_t n)
{
    float *p = aligned_alloc(64, (((size_t)n + 2 * CANARIES) * sizeof *p + 63) / 64 * 64);
    if (!p)
        abort();
    for (int64_t i = 0; i < n + 2 * CANARIES; i++)
        p[i] = CANARY;
    return p + CANARIES;
}

float *check_randoms(int64_t n)
{
    float *p = check_floats(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = check_random();
    return p;
}

void check_free(float *p, int64_t n, const char *what)
{
    for (int i = 0; i < CANARIES; i++)
        if (p[-1 - i] != CANARY || p[n + i] != CANARY) {
            check_fail("%s: wrote outside of its %lld results", what, (long long)n);
            break;
        }
    free(p - CANARIES);
}

void check_near(float got, double want, double tolerance, const char *what, int64_t index)
{
    check_count++;
    if (isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= tolerance * (1.0 + fabs(want)))
        return;
    check_fail("%s [%lld]: got %.9g, wanted %.9g", what, (long long)index, got, want);
}

double check_act(double x, const ingot_epilogue *e)
{
    const double a = e->alpha, b = e->beta;
    switch (e->act) {
    case INGOT_ACT_NONE: break;
    case INGOT_ACT_RELU: return x < 0 ? 0 : x;
    case INGOT_ACT_CLIP: return x < a ? a : x > b ? b : x;
    case INGOT_ACT_LEAKY_RELU: return x < 0 ? a * x : x;
    case INGOT_ACT_HARD_SIGMOID: x = a * x + b; return x < 0 ? 0 : x > 1 ? 1 : x;
    case INGOT_ACT_HARD_SWISH: return x * (x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5);
    case INGOT_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case INGOT_ACT_SILU: return x / (1 + exp(-x));
    case INGOT_ACT_SWISH: return x / (1 + exp(-a * x));
    case INGOT_ACT_TANH: return tanh(x);
    case INGOT_ACT_GELU: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case INGOT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
    case INGOT_ACT_ELU: return x < 0 ? a * expm1(x) : x;
    }
    return x;
}

/* Is all but the integer products that of one of the n levels before, as where a level differs in those alone? */
static bool check_is_repeated(const ingot_kernels *k, int n)
{
    bool is_repeated = false;
    for (int i = 0; i < n && !is_repeated; i++) {
        const ingot_kernels *earlier = ingot_kernels_at(i);
        is_repeated = true;
#define X(type, name, params) is_repeated &= earlier->name == k->name;
        INGOT_KERNELS_COMMON(X)
#undef X
    }
    return is_repeated;
}

int check_every_isa(void (*test)(const ingot_kernels *k), bool integer_products)
{
    const ingot_kernels *k;
    for (int i = 0; (k = ingot_kernels_at(i)); i++) {
        if (!integer_products && check_is_repeated(k, i))
            continue;
        check_seed = 1;
        test(k);
        printf("%s: %lld values checked, %d failures\n", k->isa, (long long)check_count, check_failures);
    }
    return check_failures || !check_count;
}
