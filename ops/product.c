/* product.c - float matrix products by the kernels. A single row reads B where it lies, once; more rows go through
 * panels, which a constant B is packed into once for all plans. Few rows read a B that is not constant as it lies, too.
 * Very long rows over few columns are cut into chunks of k whose sums are added in order. All of it is decided by
 * sizes and by whether B is constant, so results do not depend on the number of threads. */
#include "ops/product.h"

#include <string.h>

/* When each way is taken, and how a product is cut: by sizes alone. */
enum {
    FEW_ROWS = 8,                                         /* for which B is not worth packing in every run */
    FEW_COLUMNS = 32, K_CHUNK = 8192, SPLIT_ROWS = 16,   /* of a product that is split over k */
    SHORT_COLUMNS = 4096, AXPY_CHUNKS = 4,               /* likewise, of a B from afar that lies by rows */
    BAND_ROWS = 8,                                        /* that are made together, and multiplied in the cache */
    BAND_GAP = 464,                                       /* floats between them, so that they share no sets of it */
    ITEMS = 16,                                           /* that one matrix is cut into, to be shared out */
    ITEM_ROWS = 24,                                       /* at least; whole tiles, whose height divides TILE_ROWS */
    TILE_ROWS = 12,
};

/* One product as its tasks see it. The fields of the last line are for one matrix: its number, and how cut_matrix has
 * cut it into items of rows and panels. */
typedef struct run_call {
    ingot_op_ctx *ctx;
    const ingot_kernels *k;
    const ingot_product *p;
    const ingot_product_plan *plan;
    ingot_gemm gemm;
    ingot_epilogue epilogue;
    const float *b;                      /* packed or as it is */
    float *packed, *partial;
    int64_t matrix, item_rows, row_items, panel_items;
} run_call;

/* Operations of an item and of a run of items at most, so that a cancelled run ends within milliseconds. */
static const double item_flops = 1e9, run_flops = 2e8;

/* How many pieces of b elements a has, the last one perhaps shorter. */
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Does a dot product read B straight on? */
static bool is_stored_nk(const ingot_product *p) { return p->b_row == 1 && p->a_col == 1; }

/* Steps of a chunk of a product that is split over k. */
static int64_t chunk_steps(const ingot_product *p)
{
    return is_stored_nk(p) ? K_CHUNK : MIN(K_CHUNK, ceil_div(ceil_div(p->k, AXPY_CHUNKS), INGOT_BLOCK) * INGOT_BLOCK);
}

/* Into how many chunks it is cut: by bands, where A is made in such. */
static int64_t chunks_of(const ingot_product *p)
{
    return p->band ? p->pixels / p->band : ceil_div(p->k, chunk_steps(p));
}

/* Is it of very long rows over few columns? */
static bool takes_stripes(const ingot_product *p)
{
    return is_stored_nk(p) && p->matrices == 1 && p->n <= FEW_COLUMNS && p->k >= 2 * K_CHUNK;
}

/* The way follows from shape and steps alone, so that results do not depend on the number of threads. A dot product
 * reads a B that lies by columns straight on; then few rows need no packing. AXPY is the same for a B that lies by
 * rows, which threads share by columns; where that would leave them short pieces of rows from afar, by chunks of k.
 * Up to few_rows are few: a B that is packed once is worth it from two on. */
static ingot_product_way choose_way(const ingot_product *p, int64_t few_rows)
{
    if (takes_stripes(p))
        return INGOT_PRODUCT_SPLIT;
    if (p->m > few_rows)
        return INGOT_PRODUCT_PANELS;
    if (is_stored_nk(p))
        return INGOT_PRODUCT_DOT;
    if (p->b_col != 1 || p->a_col != 1)
        return INGOT_PRODUCT_PANELS;
    const bool far = p->k > INGOT_FLOATS_AT_HAND / MAX(p->n, 1);
    return p->matrices == 1 && p->n < SHORT_COLUMNS && far ? INGOT_PRODUCT_AXPY_SPLIT : INGOT_PRODUCT_AXPY;
}

/* Does it have partial sums, of chunks of k? */
static bool is_split(const ingot_product_plan *plan)
{
    return plan->way == INGOT_PRODUCT_SPLIT || plan->way == INGOT_PRODUCT_AXPY_SPLIT;
}

/* A constant that the kernels read as it is: where it lies in memory if floats may lie there (aligned, and stored
 * as floats), else a copy that all plans share. NULL when memory is out. */
static const float *plain_constant(ingot_op_ctx *c, int input)
{
    const ingot_const *constant = c->constants[input];
    bool fill = false;

    if (!ingot_const_is_lazy(constant))
        return c->in[input]->data;
    if (!constant->scale && constant->source && (uintptr_t)constant->source % _Alignof(float) == 0)
        return constant->source;
    float *copy = ingot_packed(c, UINT64_C(0x4d) << 32, ingot_storage_bytes(c->in[input]), &fill);
    return copy && fill && !ingot_const_read_by(c->team, constant, copy) ? NULL : copy;
}

/* Task over panels of B: each becomes contiguous in the order in which the microkernel reads it. */
static void pack_panels(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;

    (void)thread;
    call->k->gemm_pack_f32(call->packed, call->b, p->b_row, p->b_col, p->n, p->k, begin, end);
}

/* One column of B, k floats, to its place in the stripes: in the order in which A's rows have them. When A is blocked,
 * they are in the order of positions and 8 channels, of each band for itself if there are bands; what is behind k is
 * zeros. */
static void pack_column(const ingot_product *p, const float *column, float *to)
{
    const int64_t pixels = p->band ? p->band : p->pixels;
    int64_t l = 0, pixel = 0, first = 0, band = 0;   /* first: of the block of channels, when blocked */

    for (; l < p->k; to += INGOT_STRIPE * p->n)
        for (int i = 0; i < INGOT_STRIPE; i++, l++) {
            const int64_t row = p->pixels ? first + i % INGOT_BLOCK * p->pixels + band + pixel : l;
            to[i] = l < p->k ? column[row] : 0.0f;
            if (!p->pixels || i % INGOT_BLOCK < INGOT_BLOCK - 1 || ++pixel < pixels)
                continue;
            pixel = 0;
            first += INGOT_BLOCK * p->pixels;
            if (p->band && first == p->k) {
                first = 0;
                band += p->band;
            }
        }
}

/* B in stripes, for SPLIT, whose columns lie in one piece each. They are read one by one: a copy of them all would cost
 * more than the packing. False when memory is out. */
static bool pack_stripes(ingot_op_ctx *c, const ingot_product *p, int input, float *packed)
{
    const ingot_const *constant = c->constants[input];
    const bool lazy = ingot_const_is_lazy(constant);
    float *column = lazy ? ingot_work_alloc(c, (size_t)p->k * sizeof *column) : NULL;

    if (lazy && !column)
        return false;
    for (int64_t j = 0; j < p->n; j++) {
        if (lazy)
            ingot_const_read_range(constant, j * p->b_col, p->k, column);
        pack_column(p, lazy ? column : (const float *)c->in[input]->data + j * p->b_col, packed + j * INGOT_STRIPE);
    }
    ingot_work_free(c, column);
    return true;
}

/* A constant B packed for all plans of the model, in panels or in stripes; NULL when memory is out. The tag tells
 * forms apart, so that two kinds of plans, or two instruction sets, never share a buffer. */
static const float *packed_constant(ingot_op_ctx *c, const ingot_product *p, int input, bool stripes)
{
    const int64_t n_stripes = ceil_div(p->k, INGOT_STRIPE);
    const int64_t n_floats = stripes ? n_stripes * INGOT_STRIPE * p->n : c->kernels->gemm_packed_f32(p->n, p->k);
    const uint64_t form = stripes ? UINT64_C(2) << 9 | (uint64_t)p->pixels << 16 | (uint64_t)p->band << 36
                                  : p->b_row == 1 ? 1u << 8 : 0u;
    const uint64_t tag = UINT64_C(0x50) << 56 | form | (uint64_t)c->kernels->lanes;
    bool fill = false;
    void *owned = NULL;
    float *packed = ingot_packed(c, tag, ingot_aligned_bytes(n_floats, sizeof(float)), &fill);

    if (packed && fill && stripes)
        return pack_stripes(c, p, input, packed) ? packed : NULL;
    /* The first plan to ask fills it, on all threads. */
    if (packed && fill) {
        run_call call = {
            .ctx = c, .k = c->kernels, .p = p, .b = ingot_read_constant(c, input, &owned), .packed = packed
        };
        const size_t size_bytes = (size_t)n_floats * sizeof(float);
        if (!call.b || !ingot_pack(c, c->kernels->gemm_panels_f32(p->n), pack_panels, &call, size_bytes))
            packed = NULL;
        ingot_unread_constant(c, owned);
    }
    return packed;
}

/* Choose the way, pack or load a constant B, and tell the scratch that a run needs. b_input: which input B is,
 * INGOT_NONE when it must not be taken as a constant. A batch of products packs its B in each run: for whole matrices
 * in a thread's own memory, else in the shared one. LIMIT when memory is out. */
ingot_status ingot_product_prepare(ingot_op_ctx *c, const ingot_product *p, int b_input, ingot_product_plan *plan)
{
    const bool constant = b_input != INGOT_NONE && c->constants && c->constants[b_input] && p->matrices == 1;

    memset(plan, 0, sizeof *plan);
    plan->way = choose_way(p, c->batch_invariant ? 0 : constant ? 1 : FEW_ROWS);   /* each way rounds otherwise */
    plan->matrix_floats = c->kernels->gemm_packed_f32(p->n, p->k);
    plan->whole_matrices = p->matrices >= ITEMS;
    const bool full = p->has_d && p->d_row && p->d_col;               /* beta D: a vector, or all of D scaled */
    const int64_t vector = full ? p->m * p->n : MAX(p->m, p->n);
    plan->vector_bytes = full && p->beta == 1.0f ? 0 : ingot_aligned_bytes(vector, sizeof(float));
    plan->scratch_bytes = plan->vector_bytes;
    /* B: packed or found now, or room for packing it in every run. */
    if (constant) {
        const bool stripes = plan->way == INGOT_PRODUCT_SPLIT;
        plan->packed = stripes || plan->way == INGOT_PRODUCT_PANELS ? packed_constant(c, p, b_input, stripes)
                                                                    : plain_constant(c, b_input);
        if (!plan->packed)
            return ingot_op_out_of_memory(c);
    } else if (plan->way == INGOT_PRODUCT_PANELS) {
        *(plan->whole_matrices ? &plan->thread_scratch_bytes : &plan->scratch_bytes) +=
            ingot_aligned_bytes(plan->matrix_floats, sizeof(float));
    }
    if (is_split(plan))
        plan->scratch_bytes += ingot_aligned_bytes(chunks_of(p) * p->m * p->n, sizeof(float));
    if (p->band)
        plan->thread_scratch_bytes = ingot_aligned_bytes((p->k / chunks_of(p) + BAND_GAP) * BAND_ROWS, sizeof(float));
    return INGOT_OK;
}

/* Only stripes can follow the order of channels of a blocked A. */
bool ingot_product_takes_blocked(const ingot_product *p) { return takes_stripes(p); }

/* The epilogue has one residual, and a whole D uses it. */
bool ingot_product_takes_residual(const ingot_product *p) { return !p->has_d || !p->d_row || !p->d_col; }

/* Likewise a D that is one row is the epilogue's bias. */
bool ingot_product_takes_bias(const ingot_product *p) { return !p->has_d || p->d_row; }

/* Items [begin, end) of the current matrix, numbered row range by row range; each is a range of rows by a range of
 * panels. Neighbours that make a rectangle run as one, so that the kernel can look ahead from panel to panel. */
static void run_panel_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const int64_t panels = call->k->gemm_panels_f32(p->n), at = call->matrix * p->m * p->n, n = call->panel_items;
    const float *a = (const float *)p->a + (p->a_at ? p->a_at[call->matrix] : 0);

    (void)thread;
    while (begin < end) {
        const int64_t r = begin / n, s = begin % n, whole = s ? 0 : (end - begin) / n;
        const int64_t rows = MAX(whole, 1), items = whole ? n : MIN(n - s, end - begin);
        call->k->gemm_f32(&call->gemm, a, call->b, (float *)p->c + at, &call->epilogue,
                          r * call->item_rows, MIN(p->m, (r + rows) * call->item_rows),
                          panels * s / n, panels * (s + items) / n);
        begin += rows * items;
    }
}

/* Columns [begin, end) of 8 of the current matrix, from B as it is. */
static void run_column_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const float *a = (const float *)p->a + (p->a_at ? p->a_at[call->matrix] : 0);
    const float *b = call->b + (p->b_at ? p->b_at[call->matrix] : 0);
    float *c = (float *)p->c + call->matrix * p->m * p->n;
    const int64_t n0 = begin * INGOT_BLOCK, n1 = MIN(p->n, end * INGOT_BLOCK);

    (void)thread;
    if (call->plan->way == INGOT_PRODUCT_DOT)
        call->k->gemm_dot_f32(&call->gemm, a, b, p->b_col, c, &call->epilogue, n0, n1);
    else
        call->k->gemm_axpy_f32(&call->gemm, a, b, p->b_row, c, &call->epilogue, n0, n1);
}

/* Item number t of [begin, end), in the direction of this run. */
static int64_t item_at(const ingot_product *p, int64_t begin, int64_t end, int64_t t)
{
    return p->backward ? begin + end - 1 - t : t;
}

/* One chunk of k for some rows, into the partial sums. */
static void run_split_items(void *argument, int64_t begin, int64_t end, int thread)
{
    static const ingot_epilogue nothing = { .act = INGOT_ACT_NONE };
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const int64_t row_items = ceil_div(p->m, SPLIT_ROWS), steps = chunk_steps(p);

    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        const int64_t i = item_at(p, begin, end, t), chunk = i / row_items, row = i % row_items * SPLIT_ROWS;
        const int64_t from = chunk * steps;
        ingot_gemm g = call->gemm;
        g.m = MIN(SPLIT_ROWS, p->m - row);
        g.k = MIN(steps, p->k - from);
        g.whole_k = p->k;
        const float *a = (const float *)p->a + row * p->a_row + from;
        float *partial = call->partial + (chunk * p->m + row) * p->n;
        if (call->plan->way == INGOT_PRODUCT_AXPY_SPLIT)
            call->k->gemm_axpy_f32(&g, a, call->b + from * p->b_row, p->b_row, partial, &nothing, 0, p->n);
        else if (call->plan->packed)
            call->k->gemm_stripes_f32(&g, a, call->b + from * p->n, partial);
        else
            call->k->gemm_dot_f32(&g, a, call->b + from, p->b_col, partial, &nothing, 0, p->n);
    }
}

/* A band of some rows, made and multiplied, into the partial sums. Rows are made anew for no other item. */
static void run_band_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const int64_t row_items = ceil_div(p->m, BAND_ROWS), k = p->k / chunks_of(p);
    float *made = (float *)(void *)ingot_thread_scratch(call->ctx, thread);

    for (int64_t t = begin; t < end; t++) {
        const int64_t i = item_at(p, begin, end, t), band = i / row_items, row = i % row_items * BAND_ROWS;
        ingot_gemm g = call->gemm;

        g.m = MIN(BAND_ROWS, p->m - row);
        g.k = k;
        g.a_row = k + BAND_GAP;
        const float *b = call->b + band * k * p->n;
        /* of B, fetched while a row is made, if that takes long enough */
        const int64_t share = row || 4 * g.m < call->k->lanes ? 0 : k * p->n / g.m;
        for (int64_t r = 0; r < g.m; r++)
            p->make(p->argument, row + r, band, made + r * g.a_row, b + r * share, share);
        call->k->gemm_stripes_f32(&g, made, b, call->partial + (band * p->m + row) * p->n);
    }
}

/* dst[j] = x[j] + y[j mod period] of a row; period 0: y[j]. */
static void add(const run_call *call, float *dst, const float *x, const float *y, int period)
{
    call->k->binary_f32(INGOT_BINARY_ADD, dst, (ingot_operand){ x, 0 }, (ingot_operand){ y, period }, call->p->n);
}

/* Add up the chunks in order, then the rest of the epilogue, for rows [begin, end). */
static void finish_split(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const ingot_epilogue *e = &call->epilogue;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        float *c = (float *)p->c + row * p->n, *sum = call->partial + row * p->n;

        for (int64_t chunk = 1; chunk < chunks_of(p); chunk++)
            add(call, sum, sum, call->partial + (chunk * p->m + row) * p->n, 0);
        if (e->bias)
            add(call, sum, sum, e->bias, 0);
        if (e->row_bias)
            add(call, sum, sum, e->row_bias + row, 1);
        if (e->residual)
            add(call, c, sum, e->residual + row * p->n, 0);
        else
            memcpy(c, sum, (size_t)p->n * sizeof *c);
        call->k->act_rows_f32(c, p->n, 1, p->n, e);
    }
}

/* Task over products [begin, end), each as a whole: there are more than enough of them to share out. B is packed
 * where it is no constant, once for neighbours that have the same. */
static void run_matrices(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    const ingot_product *p = call->p;
    const int64_t panels = call->k->gemm_panels_f32(p->n);

    for (int64_t i = begin; i < end; i++) {
        run_call one = *call;
        one.matrix = i;
        one.row_items = one.panel_items = 1;
        one.item_rows = p->m;
        if (call->epilogue.residual)
            one.epilogue.residual = call->epilogue.residual + i * p->m * p->n;
        /* B as it is, or packed where the one before had another. */
        if (call->plan->way != INGOT_PRODUCT_PANELS) {
            run_column_items(&one, 0, ceil_div(p->n, INGOT_BLOCK), thread);
            continue;
        }
        float *packed = (float *)(void *)ingot_thread_scratch(call->ctx, thread);
        if (i == begin || p->b_at[i] != p->b_at[i - 1])
            call->k->gemm_pack_f32(packed, call->b + p->b_at[i], p->b_row, p->b_col, p->n, p->k, 0, panels);
        one.b = packed;
        run_panel_items(&one, 0, 1, thread);
    }
}

/* Cut a matrix into items: along the larger of rows and columns first, whose part of A or B is then read once. Small
 * products stay whole, as sharing out would cost more. Items do not depend on the team. */
static void cut_matrix(run_call *call, int64_t panels)
{
    const ingot_product *p = call->p;
    const int64_t wanted = MAX(ITEMS, (int64_t)(2.0 * (double)p->m * (double)p->n * (double)p->k / item_flops));
    const int64_t most_rows = MAX(1, MIN(wanted, p->m / ITEM_ROWS)), most_panels = MIN(wanted, panels);

    call->row_items = p->m > p->n ? most_rows : MIN(most_rows, ceil_div(wanted, most_panels));
    call->panel_items = MIN(most_panels, ceil_div(wanted, call->row_items));
    if (p->m * p->n * MAX(p->k, 1) < 32768)
        call->row_items = call->panel_items = 1;
    call->item_rows = call->row_items == 1 ? p->m : ceil_div(ceil_div(p->m, call->row_items), TILE_ROWS) * TILE_ROWS;
    call->row_items = ceil_div(p->m, call->item_rows);
}

/* One matrix after the other, each shared out over the team. */
static void run_each(run_call *call, char *scratch)
{
    const ingot_product *p = call->p;
    const int64_t panels = call->k->gemm_panels_f32(p->n);
    /* columns of 8 that are worth a task */
    const int64_t work = 1 + 32768 / (1 + p->m * MAX(p->k, 1) * INGOT_BLOCK);
    const float *residual = call->epilogue.residual, *b = call->b;

    cut_matrix(call, panels);
    /* one run of items for each thread: within a run the kernel fetches what comes next. Runs that would take long are
     * cut, since a cancel waits for them. */
    const double long_runs = 2.0 * (double)p->m * (double)p->n * (double)p->k / run_flops;
    const int64_t items = call->row_items * call->panel_items;
    const int64_t grain = (int64_t)((double)items / MAX((double)ingot_team_size(call->ctx->team), long_runs));
    for (call->matrix = 0; call->matrix < p->matrices; call->matrix++) {
        if (residual)
            call->epilogue.residual = residual + call->matrix * p->m * p->n;
        if (call->plan->way != INGOT_PRODUCT_PANELS) {
            ingot_parallel(call->ctx->team, ceil_div(p->n, INGOT_BLOCK), work, run_column_items, call);
            continue;
        }
        if (!call->plan->packed) {
            call->packed = (float *)(void *)scratch;
            call->b = b + (p->b_at ? p->b_at[call->matrix] : 0);
            ingot_parallel(call->ctx->team, panels, 1 + 8192 / (p->k + 1), pack_panels, call);
            call->b = call->packed;
        }
        ingot_parallel(call->ctx->team, items, MAX(grain, 1), run_panel_items, call);
    }
}

/* beta D in the epilogue: a vector over columns or rows, or the residual. A D that must be multiplied by beta, or
 * does not lie densely, is copied to `scaled` first. */
static void bind_d(const ingot_product *p, float *scaled, ingot_epilogue *e)
{
    const bool full = p->d_row && p->d_col;

    if (!p->d)
        return;
    if (full && p->beta == 1.0f) {
        e->residual = p->d;
        return;
    }
    const int64_t n = full ? p->m * p->n : p->d_row ? p->m : p->n, step = full ? 1 : p->d_row ? p->d_row : p->d_col;
    for (int64_t i = 0; i < n; i++)
        scaled[i] = p->beta * ((const float *)p->d)[i * step];
    *(full ? &e->residual : p->d_row ? &e->row_bias : &e->bias) = scaled;
}

/* alpha A B + beta D, then the epilogue; addresses are those of p, memory that of `scratch`, as large as prepare
 * said. Empty results are left alone. */
void ingot_product_run(ingot_op_ctx *c, const ingot_product *p, const ingot_product_plan *plan,
                       const ingot_epilogue *epilogue, char *scratch)
{
    run_call call = { .ctx = c, .k = c->kernels, .p = p, .plan = plan, .epilogue = *epilogue };

    if (p->m <= 0 || p->n <= 0)
        return;
    call.gemm = (ingot_gemm){ .m = p->m, .n = p->n, .k = p->k, .alpha = p->alpha, .a_row = p->a_row, .a_col = p->a_col,
                              .ldc = p->n };
    call.b = plan->packed ? plan->packed : p->b;
    bind_d(p, (float *)(void *)scratch, &call.epilogue);
    scratch += plan->vector_bytes;
    if (is_split(plan)) {
        call.partial = (float *)(void *)scratch;
        ingot_parallel(c->team, chunks_of(p) * ceil_div(p->m, p->band ? BAND_ROWS : SPLIT_ROWS), 1,
                       p->band ? run_band_items : run_split_items, &call);
        ingot_parallel(c->team, p->m, 16, finish_split, &call);
    } else if (plan->whole_matrices) {
        ingot_parallel(c->team, p->matrices, 1 + 32768 / (1 + p->m * p->n * MAX(p->k, 1)), run_matrices, &call);
    } else {
        run_each(&call, scratch);
    }
}

/* For the profile: which way a product goes. */
const char *ingot_product_name(const ingot_product_plan *plan)
{
    static const char *const names[] = { "gemm panels", "dot", "dot, k in chunks", "axpy", "axpy, k in chunks" };
    return names[plan->way];
}
