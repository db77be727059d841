/* product_plain.c - matrix products as their definition says: one row of C at a time, for every type. */
#include "ops/product.h"

/* The loops of ops/product_loops.h for each type. Unsigned arithmetic wraps, as integers do in ONNX, without the
 * undefined overflow of signed ones. */
#define T float
#define FACTOR float
#define TYPED(name) name##_f32
#include "ops/product_loops.h"
#undef T
#undef FACTOR
#undef TYPED
#define T double
#define FACTOR double
#define TYPED(name) name##_f64
#include "ops/product_loops.h"
#undef T
#undef FACTOR
#undef TYPED
#define T uint32_t                       /* signed integers too: the low bits are the same */
#define FACTOR int64_t
#define TYPED(name) name##_u32
#include "ops/product_loops.h"
#undef T
#undef TYPED
#define T uint64_t
#define TYPED(name) name##_u64
#include "ops/product_loops.h"

/* Task over rows of all matrices; p has addresses and sizes as for the kernels, and the same meaning of D and beta. */
void ingot_product_plain(ingot_team *team, ingot_dtype dtype, ingot_product *p)
{
    const bool wide = ingot_dtype_size_bytes(dtype) == 8;
    ingot_task *rows = ingot_is_float(dtype) ? (wide ? product_rows_f64 : product_rows_f32)
                                             : (wide ? product_rows_u64 : product_rows_u32);

    if (p->n > 0)
        ingot_parallel(team, p->matrices * p->m, 1 + 16384 / (1 + p->n * MAX(p->k, 1)), rows, p);
}
