/* rotary.c - RotaryEmbedding: pairs of elements of every head are turned by an angle that depends on their place in the
 * sequence. The pairs are an element of the first half with one of the second, or neighbours. */
#include "ops/weights.h"

/* Inputs; position_ids may be missing. */
enum { X, COS, SIN, POSITIONS };

/* One run. X is walked by steps, so that both of its forms are one: (N, heads, T, depth), or (N, T, heads * depth). */
typedef struct rotary {
    int64_t batch, heads, length, depth; /* depth: elements of a head, of which the first 2 * pairs are turned */
    int64_t pairs, angles;               /* angles: rows of the caches */
    int64_t batch_step, head_step, row_step;
    bool interleaved;
    const void *x, *cosine, *sine;
    const int64_t *positions;
    void *y;
} rotary;

/* Sizes, with every input checked: caches are (rows, pairs) where position_ids (N, T) choose a row, else (N, T,
 * pairs). All have X's type. INVALID when one does not fit, or an odd number of elements is to be turned. */
static ingot_status read_rotary(ingot_op_ctx *c, rotary *r)
{
    const ingot_tensor *x = c->in[X], *cosine = c->in[COS];
    const int64_t heads = ingot_attr_int(c->node, "num_heads", 0);

    *r = (rotary){ .interleaved = ingot_attr_int(c->node, "interleaved", 0) != 0 };
    /* Either form of X, as sizes and steps. */
    if (x->rank == 4) {
        r->heads = x->shape[1];
        r->length = x->shape[2];
        r->depth = x->shape[3];
        r->head_step = r->length * r->depth;
        r->row_step = r->depth;
    } else if (x->rank == 3 && heads > 0 && x->shape[2] % heads == 0) {
        r->heads = heads;
        r->length = x->shape[1];
        r->depth = r->head_step = x->shape[2] / heads;
        r->row_step = x->shape[2];
    } else {
        return ingot_op_fail(c, INGOT_INVALID,
                             "X must have rank 4, or rank 3 with a last dimension that is a multiple of "
                             "num_heads");
    }
    r->batch = x->shape[0];
    r->batch_step = r->heads * r->length * r->depth;
    /* How many elements of a head are turned; 0: all. */
    const int64_t turned = ingot_attr_int(c->node, "rotary_embedding_dim", 0);
    r->pairs = (turned ? turned : r->depth) / 2;
    if (turned < 0 || turned > r->depth || (turned ? turned : r->depth) % 2)
        return ingot_op_fail(c, INGOT_INVALID, "%lld of %lld elements cannot be turned in pairs", (long long)turned,
                             (long long)r->depth);
    /* The caches. */
    const bool placed = ingot_has(c, POSITIONS);
    bool fits = cosine->rank == (placed ? 2 : 3) && ingot_same_shape(cosine, c->in[SIN]) &&
                cosine->shape[cosine->rank - 1] == r->pairs && c->in[SIN]->dtype == x->dtype &&
                cosine->dtype == x->dtype;
    if (placed)
        fits &= c->in[POSITIONS]->rank == 2 && c->in[POSITIONS]->shape[0] == r->batch &&
                c->in[POSITIONS]->shape[1] == r->length;
    else
        fits &= cosine->shape[0] == r->batch && cosine->shape[1] == r->length;
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID, "the caches or position_ids do not fit X");
    r->angles = placed ? cosine->shape[0] : r->batch * r->length;
    return INGOT_OK;
}

/* Y is like X (N, heads, T, depth) or (N, T, heads * depth). */
static ingot_status infer_rotary(ingot_op_ctx *c)
{
    rotary r;
    ingot_status st = read_rotary(c, &r);
    return st ? st : ingot_out_like(c, 0, c->in[X]);
}

/* 16-bit floats are widened around the loop. */
static ingot_status prepare_rotary(ingot_op_ctx *c)
{
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    return INGOT_OK;
}

#define T float
#define TYPED(name) name##_f32
#include "ops/rotary_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/rotary_loops.h"

/* Positions are data: each is checked before it chooses a row. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    rotary r;
    ingot_status st = read_rotary(c, &r);

    if (st)
        return st;
    r.x = c->in[X]->data;
    r.cosine = c->in[COS]->data;
    r.sine = c->in[SIN]->data;
    r.positions = ingot_has(c, POSITIONS) ? c->in[POSITIONS]->data : NULL;
    r.y = c->out[0]->data;
    for (int64_t i = 0; i < r.batch * r.length && r.positions; i++)
        if (r.positions[i] < 0 || r.positions[i] >= r.angles)
            return ingot_op_fail(c, INGOT_INVALID, "position %lld is outside of the caches' %lld rows",
                                 (long long)r.positions[i], (long long)r.angles);
    ingot_parallel(c->team, r.batch * r.length, 1 + 8192 / (1 + r.heads * r.depth),
                   c->in[X]->dtype == INGOT_DOUBLE ? turn_places_f64 : turn_places_f32, &r);
    return INGOT_OK;
}

/* 16-bit floats are computed as floats and rounded once. */
static ingot_status run_rotary(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* Double is more than the standard has: float64 runs beside need it. */
#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_rotary[] = {
    { "RotaryEmbedding", 23, 3, 4, { F, F, F, INGOT_TYPE(INT64) }, infer_rotary, run_rotary,
      .prepare = prepare_rotary },
    {0},
};
