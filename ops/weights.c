/* weights.c - loading of lazy constants, and narrow floats by way of wider ones. */
#include "ops/weights.h"

#include "ops/half.h"
#include "ops/scalar.h"

#define LOADED_TAG (UINT64_C(0x4c) << 32)    /* packed memory: constants as they are, by input */

/* Where a plan needs a constant in memory that is still in the file: *loaded is a tensor with its data, read once and
 * shared by all plans; NULL where there is nothing to load. LIMIT when memory is out. */
ingot_status ingot_load_constant(ingot_op_ctx *c, int input, ingot_tensor **loaded)
{
    const ingot_const *constant = c->constants && input < c->n_in ? c->constants[input] : NULL;
    ingot_tensor *copy;
    bool fill = false;

    *loaded = NULL;
    if (!constant || !ingot_const_is_lazy(constant) || c->in[input]->layout != INGOT_PLAIN)
        return INGOT_OK;                         /* one that was reordered has been read by then */
    if (!(copy = ingot_keep(c, sizeof *copy)))
        return ingot_op_out_of_memory(c);
    *copy = *c->in[input];
    copy->data = ingot_packed(c, LOADED_TAG + (uint64_t)input, ingot_storage_bytes(copy), &fill);
    if (!copy->data)
        return ingot_op_out_of_memory(c);
    if (fill && !ingot_const_read_by(c->team, constant, copy->data))
        return ingot_op_out_of_memory(c);
    *loaded = copy;
    return INGOT_OK;
}

ingot_status ingot_constant_floats(ingot_op_ctx *c, int input, const float **floats)
{
    ingot_tensor *loaded;
    const ingot_status st = ingot_load_constant(c, input, &loaded);

    if (!st)
        *floats = (loaded ? loaded : c->in[input])->data;
    return st;
}

/* A copy of a context for a part of an operator, whose scratch begins `bytes` later. */
void ingot_advance_scratch(ingot_op_ctx *copy, size_t bytes)
{
    copy->scratch += bytes;
    copy->scratch_bytes -= bytes;                /* the threads' slices stay where they are */
}

bool ingot_is_16bit(ingot_dtype dtype) { return dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16; }

/* Is there a copy of the tensor in the type `wide`, float or double? */
static bool is_copied(const ingot_tensor *tensor, ingot_dtype wide)
{
    return tensor && (ingot_is_16bit(tensor->dtype) || (wide == INGOT_DOUBLE && tensor->dtype == INGOT_FLOAT));
}

/* Bytes of that copy, rounded up. */
static size_t copy_bytes(const ingot_tensor *tensor, ingot_dtype wide)
{
    return is_copied(tensor, wide) ? ingot_aligned_bytes(ingot_count(tensor), ingot_dtype_size_bytes(wide)) : 0;
}

static size_t all_copies(const ingot_op_ctx *c, ingot_dtype wide)
{
    size_t bytes = 0;

    for (int i = 0; i < c->n_in; i++)
        bytes += copy_bytes(c->in[i], wide);
    for (int i = 0; i < c->n_out; i++)
        bytes += copy_bytes(c->out[i], wide);
    return bytes;
}

/* Scratch that ingot_run_widened needs: a float copy of each 16-bit input and output. */
size_t ingot_widen_bytes(const ingot_op_ctx *c) { return all_copies(c, INGOT_FLOAT); }
size_t ingot_widen_bytes_to_double(const ingot_op_ctx *c) { return all_copies(c, INGOT_DOUBLE); }

/* One conversion of a whole tensor, split over the team. */
typedef struct convert_call {
    const ingot_tensor *tensor;
    float *floats;
    const ingot_kernels *kernels;
} convert_call;

/* Task over elements: to double, and back. */
static void to_double(void *argument, int64_t begin, int64_t end, int thread)
{
    const convert_call *call = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ((double *)(void *)call->floats)[i] = ingot_double_at(call->tensor, i);
}

static void from_double(void *argument, int64_t begin, int64_t end, int thread)
{
    const convert_call *call = argument;
    ingot_tensor to = *call->tensor;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ingot_put_double(&to, i, ((const double *)(const void *)call->floats)[i]);
}

/* Task over elements: 16 bits to float. */
static void widen(void *argument, int64_t begin, int64_t end, int thread)
{
    const convert_call *call = argument;
    (void)thread;
    ingot_widen(call->kernels, call->floats + begin, (const uint16_t *)call->tensor->data + begin, end - begin,
                call->tensor->dtype);
}

/* Task over elements: float to 16 bits, rounded to nearest even. */
static void narrow(void *argument, int64_t begin, int64_t end, int thread)
{
    const convert_call *call = argument;
    (void)thread;
    ingot_narrow_to(call->kernels, (uint16_t *)call->tensor->data + begin, call->floats + begin, end - begin,
                    call->tensor->dtype);
}

void ingot_widen_tensor(const ingot_op_ctx *c, float *to, const ingot_tensor *from)
{
    ingot_parallel(c->team, ingot_count(from), 16384, widen, &(convert_call){ from, to, c->kernels });
}

void ingot_narrow_tensor(const ingot_op_ctx *c, const ingot_tensor *to, float *from)
{
    ingot_parallel(c->team, ingot_count(to), 16384, narrow, &(convert_call){ to, from, c->kernels });
}

/* Put copies of `tensors` in the type `dtype` into copies[] and wide[]; tensors of other types stay themselves. `fill`:
 * convert their elements now, as inputs need. Returns the memory after the copies. */
static char *make_copies(ingot_op_ctx *c, ingot_tensor **tensors, int n, ingot_tensor *copies, ingot_tensor **wide,
                         char *memory, ingot_dtype dtype, bool fill)
{
    for (int i = 0; i < n; i++) {
        wide[i] = tensors[i];
        if (!is_copied(tensors[i], dtype))
            continue;
        copies[i] = *tensors[i];
        copies[i].dtype = dtype;
        copies[i].data = memory;
        wide[i] = &copies[i];
        memory += copy_bytes(tensors[i], dtype);
        if (fill)
            ingot_parallel(c->team, ingot_count(tensors[i]), 16384, dtype == INGOT_DOUBLE ? to_double : widen,
                           &(convert_call){ tensors[i], copies[i].data, c->kernels });
    }
    return memory;
}

/* Run an operator on copies: inputs are widened into scratch, outputs narrowed behind. UNSUPPORTED for more than
 * INGOT_WIDEN_MAX of either. */
static ingot_status run_on_copies(ingot_op_ctx *c, ingot_dtype dtype, ingot_op_fn *run)
{
    ingot_tensor in_copies[INGOT_WIDEN_MAX], out_copies[INGOT_WIDEN_MAX];
    ingot_tensor *in[INGOT_WIDEN_MAX], *out[INGOT_WIDEN_MAX];
    ingot_op_ctx sub = *c;

    if (c->n_in > INGOT_WIDEN_MAX || c->n_out > INGOT_WIDEN_MAX)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "%d inputs and %d outputs of narrow floats", c->n_in, c->n_out);
    char *const after = make_copies(c, c->in, c->n_in, in_copies, in, c->scratch, dtype, true);
    char *const rest = make_copies(c, c->out, c->n_out, out_copies, out, after, dtype, false);
    ingot_advance_scratch(&sub, (size_t)(rest - c->scratch));
    sub.parent = c;
    sub.in = in;
    sub.out = out;
    /* The operator sees floats of one type only. */
    const ingot_status st = run(&sub);
    for (int i = 0; i < c->n_out && !st; i++)
        if (out[i] != c->out[i])
            ingot_parallel(c->team, ingot_count(out[i]), 16384, dtype == INGOT_DOUBLE ? from_double : narrow,
                           &(convert_call){ c->out[i], out[i]->data, c->kernels });
    return st;
}

/* 16-bit tensors as float; 16-bit and float ones as double. */
ingot_status ingot_run_widened(ingot_op_ctx *c, ingot_op_fn *run) { return run_on_copies(c, INGOT_FLOAT, run); }
ingot_status ingot_run_in_double(ingot_op_ctx *c, ingot_op_fn *run) { return run_on_copies(c, INGOT_DOUBLE, run); }

bool ingot_any_double(const ingot_op_ctx *c)
{
    bool any = false;
    for (int i = 0; i < c->n_in; i++)
        any |= c->in[i] && c->in[i]->dtype == INGOT_DOUBLE;
    return any;
}

/* Scratch memory of ingot_run_in_one_type(). */
size_t ingot_one_type_bytes(const ingot_op_ctx *c)
{
    return all_copies(c, ingot_any_double(c) ? INGOT_DOUBLE : INGOT_FLOAT);
}

/* Where all inputs are float already nothing is copied. */
ingot_status ingot_run_in_one_type(ingot_op_ctx *c, ingot_op_fn *run)
{
    return run_on_copies(c, ingot_any_double(c) ? INGOT_DOUBLE : INGOT_FLOAT, run);
}
