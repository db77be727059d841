/* cast.c - Cast, CastLike and BitCast. */
#include <string.h>

#include "ops/cast_text.h"
#include "ops/convert.h"

/* Elements of less than a byte, which tensors in memory hold one to a byte. BitCast leaves out text, whose bytes are
 * elsewhere, and 6-bit floats; Cast has no complex numbers. */
#define TYPES_SUB_BYTE                                                                                                 \
    (INGOT_TYPE(UINT4) | INGOT_TYPE(INT4) | INGOT_TYPE(UINT2) | INGOT_TYPE(INT2) | INGOT_TYPE(FLOAT4E2M1))
#define TYPES_BITS (INGOT_TYPES_ALL & ~INGOT_TYPE(STRING) & ~INGOT_TYPES_FLOAT6)
#define TYPES_COMPLEX (INGOT_TYPE(COMPLEX64) | INGOT_TYPE(COMPLEX128))
#define TYPES_CAST (INGOT_TYPES_ALL & ~TYPES_COMPLEX)

/* The attribute `to` as an element type out of `allowed`. UNSUPPORTED for any other number, also where it is
 * missing. */
static ingot_status find_type(ingot_op_ctx *c, uint64_t allowed, ingot_dtype *to)
{
    const int64_t number = ingot_attr_int(c->node, "to", INGOT_UNDEFINED);

    if (number <= INGOT_UNDEFINED || number >= INGOT_N_DTYPES || !(allowed >> number & 1))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "attribute to: element type %lld", (long long)number);
    *to = (ingot_dtype)number;
    return INGOT_OK;
}

/* round_mode matters for 8-bit floats only, but a mode that the standard does not know is INVALID always. */
static ingot_status find_mode(ingot_op_ctx *c, ingot_round_mode *mode)
{
    static const char *const modes[] = { [INGOT_ROUND_UP] = "up", [INGOT_ROUND_DOWN] = "down",
                                         [INGOT_ROUND_NEAREST] = "nearest" };
    const char *name = ingot_attr_string(c->node, "round_mode", "up");
    int m = 0;

    while (m < 3 && strcmp(name, modes[m]))
        m++;
    *mode = (ingot_round_mode)m;
    return m < 3 ? INGOT_OK
                 : ingot_op_fail(c, INGOT_INVALID, "attribute round_mode is none of up, down and nearest");
}

/* The shape stays, the attribute 'to' gives the element type. */
static ingot_status infer_cast(ingot_op_ctx *c)
{
    ingot_dtype to = INGOT_UNDEFINED;
    ingot_round_mode mode;
    ingot_status st = find_type(c, TYPES_CAST, &to);

    if (!st)
        st = find_mode(c, &mode);
    return st ? st : ingot_out(c, 0, to, c->in[0]->rank, c->in[0]->shape);
}

/* The second input lends its type; its shape and elements do not matter. */
static ingot_status infer_cast_like(ingot_op_ctx *c)
{
    ingot_round_mode mode;
    const ingot_status st = find_mode(c, &mode);
    return st ? st : ingot_out(c, 0, c->in[1]->dtype, c->in[0]->rank, c->in[0]->shape);
}

/* Leaves the conversion that run_cast() makes. saturate matters for the 8-bit floats only. */
static ingot_status prepare_cast(ingot_op_ctx *c)
{
    ingot_conversion *conversion = c->state = ingot_keep(c, sizeof *conversion);

    if (!conversion)
        return ingot_op_out_of_memory(c);
    *conversion = (ingot_conversion){ c->in[0]->dtype, c->out[0]->dtype,
                                      ingot_attr_int(c->node, "saturate", 1) != 0, INGOT_ROUND_UP, c->kernels };
    return find_mode(c, &conversion->round_mode);
}

/* One conversion of all elements, shared out over the team. */
typedef struct cast_work {
    const ingot_conversion *conversion;
    char *dst;
    const char *src;
} cast_work;

/* Task over elements; sub-byte types are stored one to a byte, so any split is safe. */
static void cast_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const cast_work *w = argument;
    const int64_t from_bytes = (int64_t)ingot_dtype_size_bytes(w->conversion->from);
    const int64_t to_bytes = (int64_t)ingot_dtype_size_bytes(w->conversion->to);

    (void)thread;
    ingot_convert(w->conversion, w->dst + begin * to_bytes, w->src + begin * from_bytes, end - begin);
}

/* Text needs memory of its own and takes another way; so does reading numbers from text. Those ways run in one thread;
 * numbers to numbers are split over the team. */
static ingot_status run_cast(ingot_op_ctx *c)
{
    const ingot_conversion *conversion = c->state;
    cast_work w = { conversion, c->out[0]->data, c->in[0]->data };

    if (conversion->from != conversion->to && conversion->to == INGOT_STRING)
        return ingot_run_to_text(c);
    if (conversion->from != conversion->to && conversion->from == INGOT_STRING)
        return ingot_run_from_text(c, conversion->saturate, conversion->round_mode);
    ingot_parallel(c->team, ingot_count(c->in[0]), 32768, cast_range, &w);
    return INGOT_OK;
}

/* ---- BitCast ---- */

/* Bits of an element as the standard counts them: 2 or 4 for the types of less than a byte, although a byte holds them
 * here. */
static int bits_of(ingot_dtype dtype)
{
    if (dtype == INGOT_UINT2 || dtype == INGOT_INT2)
        return 2;
    return TYPES_SUB_BYTE >> dtype & 1 ? 4 : 8 * (int)ingot_dtype_size_bytes(dtype);
}

/* BitCast keeps the bytes, so both types must have the same number of bits; text has none. Since sizes are equal, the
 * shape never changes. */
static ingot_status infer_bit_cast(ingot_op_ctx *c)
{
    ingot_dtype to = INGOT_UNDEFINED;
    const ingot_status st = find_type(c, TYPES_BITS, &to);

    if (st)
        return st;
    if (bits_of(to) != bits_of(c->in[0]->dtype))
        return ingot_op_fail(c, INGOT_INVALID, "%s and %s have different sizes", ingot_dtype_name(c->in[0]->dtype),
                             ingot_dtype_name(to));
    return ingot_out(c, 0, to, c->in[0]->rank, c->in[0]->shape);
}

/* A copy of the bytes, unless output and input share memory already. */
static ingot_status run_bit_cast(ingot_op_ctx *c)
{
    const ingot_tensor *out = c->out[0];
    const ingot_dtype to = out->dtype;
    uint8_t *bytes = out->data;

    if (out->data != c->in[0]->data)
        memcpy(out->data, c->in[0]->data, ingot_storage_bytes(out));
    if (!((TYPES_SUB_BYTE | INGOT_TYPE(BOOL)) >> to & 1))
        return INGOT_OK;
    /* a byte holds less than it could: the sign is spread over it, or the rest is 0 */
    const int bits = to == INGOT_BOOL ? 1 : bits_of(to), mask = (1 << bits) - 1;
    const int sign = to == INGOT_INT4 || to == INGOT_INT2 ? 1 << (bits - 1) : 0;
    for (int64_t i = 0; i < ingot_count(out); i++)
        bytes[i] = (uint8_t)(((bytes[i] & mask) ^ sign) - sign);
    return INGOT_OK;
}

const ingot_op ingot_ops_cast[] = {
    { "Cast", 6, 1, 1, { TYPES_CAST }, infer_cast, run_cast, prepare_cast, .flags = INGOT_OP_LONG },
    { "CastLike", 15, 2, 2, { TYPES_CAST, TYPES_CAST }, infer_cast_like, run_cast, prepare_cast,
      .flags = INGOT_OP_LONG },
    { "BitCast", 26, 1, 1, { TYPES_BITS }, infer_bit_cast, run_bit_cast },
    {0},
};
