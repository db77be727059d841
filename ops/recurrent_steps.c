/* recurrent_steps.c - the steps of RNN, GRU and LSTM; see recurrent.c for the plan. */
#include <math.h>
#include <string.h>

#include "ops/recurrent.h"

/* One direction while it runs. Matrices of a step are (batch, gates * hidden) or (batch, hidden), row-major. */
typedef struct direction {
    ingot_op_ctx *c;
    const ingot_recurrent *r;
    const ingot_recurrent_data *data;
    int index;
    bool reverse;
    const float *packed_r;             /* gate after gate */
    float *inputs_part;                /* (rows of x, gates * hidden) */
    float *bias, *state_bias;          /* state_bias: GRU's, where it belongs inside the reset; else NULL */
    float *gates, *state_part;         /* of the step */
    float *h, *h_next, *cell, *reset;  /* (batch, hidden) */
    int64_t step;
} direction;

/* ---- activations ---- */

/* Functions that the vector kernels have; NONE sends the others to rare_function. */
static ingot_act kernel_act(ingot_gate_function f)
{
    switch (f) {
    case INGOT_GATE_SIGMOID: return INGOT_ACT_SIGMOID;
    case INGOT_GATE_TANH: return INGOT_ACT_TANH;
    case INGOT_GATE_RELU: return INGOT_ACT_RELU;
    case INGOT_GATE_LEAKY_RELU: return INGOT_ACT_LEAKY_RELU;
    case INGOT_GATE_HARD_SIGMOID: return INGOT_ACT_HARD_SIGMOID;
    case INGOT_GATE_ELU: return INGOT_ACT_ELU;
    default: return INGOT_ACT_NONE;
    }
}

/* The functions that hardly any model uses, one number at a time. */
static float rare_function(const ingot_gate *gate, float x)
{
    switch (gate->function) {
    case INGOT_GATE_AFFINE: return gate->alpha * x + gate->beta;
    case INGOT_GATE_THRESHOLDED_RELU: return x >= gate->alpha ? x : 0.0f;
    case INGOT_GATE_SCALED_TANH: return gate->alpha * tanhf(gate->beta * x);
    case INGOT_GATE_SOFTSIGN: return x / (1.0f + fabsf(x));
    case INGOT_GATE_SOFTPLUS: return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
    default: return x;
    }
}

/* Activate n floats of every row of the batch, `stride` apart; clip first where the layer says so. */
static void activate(const direction *d, const ingot_gate *gate, float *data, ptrdiff_t stride, int64_t n, bool clip)
{
    const ingot_recurrent *r = d->r;
    const ingot_kernels *k = d->c->kernels;
    const ingot_epilogue limits = {.act = INGOT_ACT_CLIP, .alpha = -r->clip, .beta = r->clip};
    const ingot_epilogue act = {.act = kernel_act(gate->function), .alpha = gate->alpha, .beta = gate->beta};
    if (clip && r->clip > 0)
        k->act_rows_f32(data, stride, r->batch, n, &limits);
    if (act.act) {
        k->act_rows_f32(data, stride, r->batch, n, &act);
        return;
    }
    for (int64_t b = 0; b < r->batch; b++)
        for (int64_t i = 0; i < n; i++)
            data[b * stride + i] = rare_function(gate, data[b * stride + i]);
}

/* ---- one step ---- */

/* Add the state's part a R^T of one gate to dst, columns of panels [p0, p1). */
static void add_state_part(const direction *d, int gate, const float *a, float *dst, ptrdiff_t ldc, bool add,
                           int64_t p0, int64_t p1)
{
    const ingot_recurrent *r = d->r;
    const ingot_gemm g = {.m = r->batch, .n = r->hidden, .k = r->hidden, .alpha = 1.0f, .a_row = r->hidden, .a_col = 1,
                          .ldc = ldc};
    const ingot_epilogue e = {.residual = add ? dst : NULL};
    d->c->kernels->gemm_f32(&g, a, d->packed_r + gate * r->packed_r, dst, &e, 0, r->batch, p0, p1);
}

/* Columns [j0, j1) of panels [p0, p1). */
static void panel_columns(const direction *d, int64_t p0, int64_t p1, int64_t *j0, int64_t *j1)
{
    const int64_t many = 1 << 20, width = many / d->c->kernels->gemm_panels_f32(many); /* of a full panel */
    *j0 = MIN(p0 * width, d->r->hidden);
    *j1 = MIN(p1 * width, d->r->hidden);
}

/* LSTM's P (D, 3 * hidden), in the order i, o, f: the gate also sees the cell. */
static void add_peephole(const direction *d, int gate, int peephole, int64_t j0, int64_t j1)
{
    const ingot_recurrent *r = d->r;
    const float *p = d->data->peepholes + (d->index * 3 + peephole) * r->hidden;
    for (int64_t b = 0; b < r->batch; b++)
        for (int64_t j = j0; j < j1; j++)
            d->gates[(b * r->gates + gate) * r->hidden + j] += p[j] * d->cell[b * r->hidden + j];
}

/* One LSTM step for panels [p0, p1) of the hidden units. ONNX orders gates i, o, f, c; the output gate sees the new
 * cell, so it comes last. */
static void lstm_range(void *argument, int64_t p0, int64_t p1, int thread)
{
    enum { I, O, F, C };
    const direction *d = argument;
    const ingot_recurrent *r = d->r;
    const ingot_gate *act = r->activation[d->index];
    const int64_t h = r->hidden, row = 4 * h;
    int64_t j0, j1;
    (void)thread;
    panel_columns(d, p0, p1, &j0, &j1);
    for (int gate = 0; gate < 4; gate++)
        add_state_part(d, gate, d->h, d->gates + gate * h, row, true, p0, p1);
    if (d->data->peepholes) {
        add_peephole(d, I, 0, j0, j1);
        add_peephole(d, F, 2, j0, j1);
    }
    activate(d, &act[0], d->gates + I * h + j0, row, j1 - j0, true);
    activate(d, &act[0], d->gates + F * h + j0, row, j1 - j0, true);
    activate(d, &act[1], d->gates + C * h + j0, row, j1 - j0, true);
    for (int64_t b = 0; b < r->batch; b++) {
        const float *g = d->gates + b * row;
        float *cell = d->cell + b * h;
        for (int64_t j = j0; j < j1; j++) {
            const float forget = r->input_forget ? 1.0f - g[I * h + j] : g[F * h + j];
            cell[j] = forget * cell[j] + g[I * h + j] * g[C * h + j];
            d->h_next[b * h + j] = cell[j];
        }
    }
    if (d->data->peepholes)
        add_peephole(d, O, 1, j0, j1);
    activate(d, &act[0], d->gates + O * h + j0, row, j1 - j0, true);
    activate(d, &act[2], d->h_next + j0, h, j1 - j0, false);
    for (int64_t b = 0; b < r->batch; b++)
        for (int64_t j = j0; j < j1; j++)
            d->h_next[b * h + j] *= d->gates[b * row + O * h + j];
}

/* z and r; with linear_before_reset the whole step, else r times the state for gru_finish(). */
static void gru_range(void *argument, int64_t p0, int64_t p1, int thread)
{
    enum { Z, R, H };
    const direction *d = argument;
    const ingot_recurrent *r = d->r;
    const ingot_gate *act = r->activation[d->index];
    const int64_t h = r->hidden, row = 3 * h;
    int64_t j0, j1;
    (void)thread;
    panel_columns(d, p0, p1, &j0, &j1);
    add_state_part(d, Z, d->h, d->gates + Z * h, row, true, p0, p1);
    add_state_part(d, R, d->h, d->gates + R * h, row, true, p0, p1);
    if (r->linear_before_reset)
        add_state_part(d, H, d->h, d->state_part, h, false, p0, p1);
    activate(d, &act[0], d->gates + Z * h + j0, row, j1 - j0, true);
    activate(d, &act[0], d->gates + R * h + j0, row, j1 - j0, true);
    for (int64_t b = 0; b < r->batch; b++) {
        float *g = d->gates + b * row;
        for (int64_t j = j0; j < j1; j++) {
            const float reset = g[R * h + j];
            if (r->linear_before_reset)
                g[H * h + j] += reset * (d->state_part[b * h + j] + (d->state_bias ? d->state_bias[j] : 0.0f));
            else
                d->reset[b * h + j] = reset * d->h[b * h + j];
        }
    }
}

/* The second half of a GRU step: the candidate needs the reset state of all units, hence a task after the first. */
static void gru_finish(void *argument, int64_t p0, int64_t p1, int thread)
{
    enum { Z, R, H };
    const direction *d = argument;
    const ingot_recurrent *r = d->r;
    const int64_t h = r->hidden, row = 3 * h;
    int64_t j0, j1;
    (void)thread;
    panel_columns(d, p0, p1, &j0, &j1);
    if (!r->linear_before_reset)
        add_state_part(d, H, d->reset, d->gates + H * h, row, true, p0, p1);
    activate(d, &r->activation[d->index][1], d->gates + H * h + j0, row, j1 - j0, true);
    for (int64_t b = 0; b < r->batch; b++) {
        const float *g = d->gates + b * row;
        for (int64_t j = j0; j < j1; j++)
            d->h_next[b * h + j] = (1.0f - g[Z * h + j]) * g[H * h + j] + g[Z * h + j] * d->h[b * h + j];
    }
}

/* One step of the plain cell. */
static void rnn_range(void *argument, int64_t p0, int64_t p1, int thread)
{
    const direction *d = argument;
    int64_t j0, j1;
    (void)thread;
    panel_columns(d, p0, p1, &j0, &j1);
    add_state_part(d, 0, d->h, d->gates, d->r->hidden, true, p0, p1);
    activate(d, &d->r->activation[d->index][0], d->gates + j0, d->r->hidden, j1 - j0, true);
    for (int64_t b = 0; b < d->r->batch; b++)
        memcpy(d->h_next + b * d->r->hidden + j0, d->gates + b * d->r->hidden + j0, (size_t)(j1 - j0) * sizeof(float));
}

/* ---- the walk over steps ---- */

/* Steps of batch entry b; all without sequence_lens. */
static int64_t length_of(const direction *d, int64_t b) { return d->data->lens ? d->data->lens[b] : d->r->steps; }

/* The time that sample b is at in this step; its own length or more: past its end. */
static int64_t time_of(const direction *d, int64_t b)
{
    const int64_t length = length_of(d, b);
    return d->reverse && d->step < length ? length - 1 - d->step : d->step;
}

/* Row of (steps, batch) matrices, and offset in y. */
static int64_t row_of(const ingot_recurrent *r, int64_t t, int64_t b)
{
    return r->batch_first ? b * r->steps + t : t * r->batch + b;
}

/* Where Y keeps the state of step t, by layout. */
static float *y_at(const direction *d, int64_t t, int64_t b)
{
    const ingot_recurrent *r = d->r;
    const int64_t at = r->batch_first ? (b * r->steps + t) * r->directions + d->index
                                      : (t * r->directions + d->index) * r->batch + b;
    return d->data->y + at * r->hidden;
}

/* The row of batch entry b in initial and last states, by layout. */
static int64_t state_row(const direction *d, int64_t b)
{
    return d->r->batch_first ? b * d->r->directions + d->index : d->index * d->r->batch + b;
}

/* One step. Two directions already run side by side as tasks, so they do not share out their own steps. */
static void run_cell(const direction *d)
{
    static ingot_task *const ranges[] = {rnn_range, gru_range, lstm_range};
    const ingot_recurrent *r = d->r;
    const int64_t panels = d->c->kernels->gemm_panels_f32(r->hidden);
    /* below this many multiply-adds a step is not worth a second thread */
    const int64_t work = r->batch * r->gates * r->hidden * r->hidden, grain = work < (1 << 16) ? panels : 1;
    if (r->directions == 2) { /* this is a task of its own */
        ranges[r->cell]((void *)d, 0, panels, 0);
        if (r->cell == INGOT_CELL_GRU)
            gru_finish((void *)d, 0, panels, 0);
        return;
    }
    ingot_parallel(d->c->team, panels, grain, ranges[r->cell], (void *)d);
    if (r->cell == INGOT_CELL_GRU)
        ingot_parallel(d->c->team, panels, grain, gru_finish, (void *)d);
}

/* Samples past their end keep their state, and their outputs are 0. */
static void keep_finished(const direction *d, const float *cell_before)
{
    const ingot_recurrent *r = d->r;
    const size_t bytes = (size_t)r->hidden * sizeof(float);
    for (int64_t b = 0; b < r->batch; b++) {
        const bool finished = d->step >= length_of(d, b);
        if (finished) {
            memcpy(d->h_next + b * r->hidden, d->h + b * r->hidden, bytes);
            if (r->cell == INGOT_CELL_LSTM)
                memcpy(d->cell + b * r->hidden, cell_before + b * r->hidden, bytes);
        }
        if (d->data->y && finished)
            memset(y_at(d, d->step, b), 0, bytes);
        else if (d->data->y)
            memcpy(y_at(d, time_of(d, b), b), d->h_next + b * r->hidden, bytes);
    }
}

/* All steps of one direction; entries that have ended keep their state. h and h_next change places each step. */
static void run_direction(direction *d)
{
    const ingot_recurrent *r = d->r;
    const int64_t gates = r->gates * r->hidden;
    const size_t state_bytes = (size_t)(r->batch * r->hidden) * sizeof(float);
    float *cell_before = d->reset; /* only GRU resets, only LSTM has a cell */
    for (d->step = 0; d->step < r->steps; d->step++) {
        if (ingot_cancelled(d->c))
            return;
        for (int64_t b = 0; b < r->batch; b++)
            memcpy(d->gates + b * gates, d->inputs_part + row_of(r, time_of(d, b), b) * gates,
                   (size_t)gates * sizeof(float));
        if (d->data->lens && r->cell == INGOT_CELL_LSTM)
            memcpy(cell_before, d->cell, state_bytes);
        run_cell(d);
        keep_finished(d, cell_before);
        float *h = d->h;
        d->h = d->h_next;
        d->h_next = h;
    }
    for (int64_t b = 0; b < r->batch; b++) {
        if (d->data->y_h)
            memcpy(d->data->y_h + state_row(d, b) * r->hidden, d->h + b * r->hidden, (size_t)r->hidden * sizeof(float));
        if (d->data->y_c)
            memcpy(d->data->y_c + state_row(d, b) * r->hidden, d->cell + b * r->hidden,
                   (size_t)r->hidden * sizeof(float));
    }
}

/* ---- setting up ---- */

/* Wb + Rb in one row, but GRU with linear_before_reset needs its candidate's Rb inside the reset gate. */
static void make_bias(direction *d)
{
    const ingot_recurrent *r = d->r;
    const int64_t gates = r->gates * r->hidden;
    const float *b = d->data->bias ? d->data->bias + d->index * 2 * gates : NULL;
    const bool inside = r->cell == INGOT_CELL_GRU && r->linear_before_reset;
    for (int64_t i = 0; i < gates; i++) {
        const bool apart = inside && i >= 2 * r->hidden;
        d->bias[i] = b ? b[i] + (apart ? 0.0f : b[gates + i]) : 0.0f;
        if (apart)
            d->state_bias[i - 2 * r->hidden] = b ? b[gates + i] : 0.0f;
    }
    if (!inside)
        d->state_bias = NULL;
}

/* Initial states, zeros without the inputs. */
static void make_state(direction *d)
{
    const ingot_recurrent *r = d->r;
    const size_t bytes = (size_t)r->hidden * sizeof(float);
    memset(d->h, 0, (size_t)r->batch * bytes);
    memset(d->cell, 0, (size_t)r->batch * bytes);
    for (int64_t b = 0; b < r->batch; b++) {
        if (d->data->h0)
            memcpy(d->h + b * r->hidden, d->data->h0 + state_row(d, b) * r->hidden, bytes);
        if (d->data->c0)
            memcpy(d->cell + b * r->hidden, d->data->c0 + state_row(d, b) * r->hidden, bytes);
    }
}

typedef struct inputs_job {
    const direction *d;
    ingot_gemm gemm;
    ingot_epilogue epilogue;
    const float *packed_w;
    int64_t panels;
} inputs_job;

/* Items are blocks of rows times panels, so that few rows are split as well as many. */
enum { BLOCK_ROWS = 24 };

/* Task over (block of rows, panel): X W^T + bias of every step at once. */
static void inputs_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const inputs_job *job = argument;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t m0 = i / job->panels * BLOCK_ROWS, p = i % job->panels;
        job->d->c->kernels->gemm_f32(&job->gemm, job->d->data->x, job->packed_w, job->d->inputs_part, &job->epilogue,
                                     m0, MIN(m0 + BLOCK_ROWS, job->gemm.m), p, p + 1);
    }
}

/* Lays out one direction's scratch and computes all that does not depend on the state. */
static void open_direction(direction *d, ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data,
                           int index)
{
    const int64_t gates = r->gates * r->hidden, state = r->batch * r->hidden, rows = r->steps * r->batch;
    const float *packed = data->packed + index * (r->packed_w + r->gates * r->packed_r);
    float *memory = data->scratch + index * r->direction_floats;
    *d = (direction){.c = c, .r = r, .data = data, .index = index, .reverse = r->reverse || index == 1,
                     .packed_r = packed + r->packed_w, .inputs_part = memory};
    d->bias = d->inputs_part + rows * gates;
    d->state_bias = d->bias + gates;
    d->gates = d->state_bias + gates;
    d->state_part = d->gates + r->batch * gates;
    d->h = d->state_part + state;
    d->h_next = d->h + state;
    d->cell = d->h_next + state;
    d->reset = d->cell + state;
    make_bias(d);
    make_state(d);
    inputs_job job = {
        d,
        { .m = rows, .n = gates, .k = r->inputs, .alpha = 1.0f, .a_row = r->inputs, .a_col = 1, .ldc = gates },
        { .bias = d->bias },
        packed,
        c->kernels->gemm_panels_f32(gates)
    };
    ingot_parallel(c->team, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS * job.panels, 4, inputs_range, &job);
}

static void run_directions(void *argument, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        run_direction((direction *)argument + i);
}

void ingot_recurrent_run(ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data)
{
    direction directions[2];
    for (int i = 0; i < r->directions; i++)
        open_direction(&directions[i], c, r, data, i);
    if (r->directions == 2)
        ingot_parallel(c->team, 2, 1, run_directions, directions);
    else
        run_direction(&directions[0]);
}
