/* dropout.c - Dropout. In inference Y = X and the mask is true throughout. In training elements are dropped by random
 * numbers from the attribute seed; without one every run draws others. */
#include <string.h>
#include <time.h>

#include "ops/convert.h"
#include "ops/op.h"

/* The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), which the standard's reference implementation draws from. */
enum { WORDS = 624, MIDDLE = 397, CHUNK = 256 };

typedef struct twister {
    uint32_t word[WORDS];
    int next;
} twister;

static void seed_twister(twister *t, uint32_t seed)
{
    t->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
    t->next = WORDS;
}

static uint32_t draw_bits(twister *t)
{
    if (t->next == WORDS) {
        for (int i = 0; i < WORDS; i++) {
            const uint32_t y = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
            t->word[i] = t->word[(i + MIDDLE) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->next = 0;
    }
    uint32_t y = t->word[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Uniform in [0, 1), with 53 bits. */
static double draw(twister *t)
{
    const uint32_t high = draw_bits(t) >> 5, low = draw_bits(t) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

static ingot_status infer_dropout(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const ingot_status st = ingot_out_like(c, 0, x);

    for (int i = 1; i <= 2; i++)
        if (ingot_has(c, i) && ingot_count(c->in[i]) != 1)
            return ingot_op_fail(c, INGOT_INVALID, "ratio and training_mode must be one number each");
    return st ? st : ingot_out(c, 1, INGOT_BOOL, x->rank, x->shape);
}

static ingot_status keep_all(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];

    if (c->out[0] && c->out[0]->data != x->data && ingot_storage_bytes(x))
        memcpy(c->out[0]->data, x->data, ingot_storage_bytes(x));
    if (c->n_out > 1 && c->out[1] && ingot_count(x))
        memset(c->out[1]->data, 1, (size_t)ingot_count(x));
    return INGOT_OK;
}

/* Y = X / (1 - ratio) where a number in [0, 1) is not below the ratio, else 0. */
static void drop(ingot_op_ctx *c, double ratio, twister *random)
{
    const ingot_tensor *x = c->in[0];
    const ingot_conversion read = { .from = x->dtype, .to = INGOT_DOUBLE };
    const ingot_conversion write = { .from = INGOT_DOUBLE, .to = x->dtype, .saturate = true };
    const int64_t n = ingot_count(x), size_bytes = (int64_t)ingot_dtype_size_bytes(x->dtype);
    uint8_t *mask = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL;
    double values[CHUNK];

    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = MIN(n - at, CHUNK);
        ingot_convert(&read, values, (const char *)x->data + at * size_bytes, some);
        for (int64_t i = 0; i < some; i++) {
            const bool keep = draw(random) >= ratio;
            values[i] = keep ? values[i] / (1 - ratio) : 0;
            if (mask)
                mask[at + i] = keep;
        }
        if (c->out[0])
            ingot_convert(&write, (char *)c->out[0]->data + at * size_bytes, values, some);
    }
}

static ingot_status run_dropout(ingot_op_ctx *c)
{
    double ratio = 0.5;
    twister random;

    if (!ingot_has(c, 2) || !ingot_int_at(c->in[2], 0))
        return keep_all(c);
    if (ingot_has(c, 1)) {
        const ingot_conversion read = { .from = c->in[1]->dtype, .to = INGOT_DOUBLE };
        ingot_convert(&read, &ratio, c->in[1]->data, 1);
    }
    if (!(ratio >= 0 && ratio < 1))
        return ingot_op_fail(c, INGOT_INVALID, "ratio %g is not in [0, 1)", ratio);
    if (ratio == 0)
        return keep_all(c);
    const ingot_attr *seed = ingot_node_attr(c->node, "seed");
    struct timespec now = { .tv_sec = 0 };
    if (!seed)
        timespec_get(&now, TIME_UTC);
    seed_twister(&random, seed ? (uint32_t)ingot_attr_int(c->node, "seed", 0)
                               : (uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec * 2654435761u);
    drop(c, ratio, &random);
    return INGOT_OK;
}

#define TYPES_DROPOUT (INGOT_TYPES_FLOAT | INGOT_TYPES_FLOAT8)

const ingot_op ingot_ops_dropout[] = {
    { "Dropout", 12, 1, 3, { TYPES_DROPOUT, TYPES_DROPOUT, INGOT_TYPE(BOOL) }, infer_dropout, run_dropout,
      .flags = INGOT_OP_RANDOM },
    {0},
};
