/* recurrent_steps.c - the steps of RNN, GRU and LSTM; see recurrent.c for the plan.
 *
 * Nothing here looks at an element: states and rows are moved as bytes, so that one walk serves every element type. */
#include <string.h>

#include "ops/recurrent.h"

/* One direction while it runs. Inputs' parts are (rows of x, gates * units), states (batch, units); all addresses but
 * the packed weights' lie in the layer's scratch. Parties are threads, or one thread after the other when there is
 * only one. */
typedef struct direction {
    ingot_op_ctx *c;
    const ingot_recurrent *r;
    const ingot_recurrent_data *data;
    ingot_cell cell;
    int index;
    bool reverse;
    const char *packed_w, *packed_r, *bias;
    char *inputs, *gathered;           /* gathered: (batch, gates * units), where samples are at different times */
    char *h[2];                        /* the state before even steps, and before odd ones */
    char *cells, *spare;               /* spare: GRU's reset state, or LSTM's cells before a ragged step */
    ingot_barrier barrier;
    int64_t parties;                   /* threads that share the blocks */
    _Atomic bool stop;
} direction;

/* The inputs' part of every step, one step's more where samples are at different times, and four states. Sizes come
 * from the model, so that each product and sum may be past what can be counted. */
bool ingot_recurrent_scratch(ingot_recurrent *r)
{
    size_t rows, row, states, all;

    if (!ingot_mul_size((size_t)r->steps, (size_t)r->batch, &rows) ||
        !ingot_add_size(rows, r->ragged ? (size_t)r->batch : 0, &rows) ||
        !ingot_mul_size((size_t)r->gates, (size_t)r->units, &row) || !ingot_mul_size(rows, row, &rows) ||
        !ingot_mul_size(4 * (size_t)r->batch, (size_t)r->units, &states) || !ingot_add_size(rows, states, &all) ||
        all > (size_t)PTRDIFF_MAX / sizeof(double))
        return false;
    r->direction_elements = (int64_t)all;
    return true;
}

/* ---- where things are ---- */

/* Bytes of so many elements: all offsets below count elements of the layer's type. */
static size_t bytes_of(const direction *d, int64_t elements) { return (size_t)elements * d->r->kernels.size; }

/* Steps of sample b; all without sequence_lens. */
static int64_t length_of(const direction *d, int64_t b) { return d->data->lens ? d->data->lens[b] : d->r->steps; }

/* The time that sample b is at in this step; its own length or more: past its end. */
static int64_t time_of(const direction *d, int64_t step, int64_t b)
{
    const int64_t length = length_of(d, b);
    return d->reverse && step < length ? length - 1 - step : step;
}

/* The inputs' part of sample b at time t. */
static char *inputs_at(const direction *d, int64_t t, int64_t b)
{
    const ingot_recurrent *r = d->r;
    const int64_t row = r->batch_first ? b * r->steps + t : t * r->batch + b;
    return d->inputs + bytes_of(d, row * r->gates * r->units);
}

/* Where Y keeps the state of sample b at time t. */
static char *y_at(const direction *d, int64_t t, int64_t b)
{
    const ingot_recurrent *r = d->r;
    const int64_t row = r->batch_first ? (b * r->steps + t) * r->directions + d->index
                                       : (t * r->directions + d->index) * r->batch + b;
    return (char *)d->data->y + bytes_of(d, row * r->hidden);
}

/* Sample b in an input or output of initial or last states. */
static size_t state_at(const direction *d, int64_t b)
{
    const ingot_recurrent *r = d->r;
    return bytes_of(d, (r->batch_first ? b * r->directions + d->index : d->index * r->batch + b) * r->hidden);
}

/* ---- steps ---- */

/* Memory of a direction's integer products. */
static char *integer_scratch(const direction *d)
{
    return d->data->integer_scratch + (size_t)d->index * d->r->integer_bytes;
}

/* The inputs' part of all steps, blocks [b0, b1). A few rows at a time, which stay in the cache for all blocks. */
static void compute_inputs(const direction *d, int64_t b0, int64_t b1)
{
    enum { ROWS = 128 };
    const ingot_recurrent *r = d->r;
    const int64_t rows = r->steps * r->batch, row = r->gates * r->units;

    if (r->integer) {
        int64_t longest = 0;            /* what lies past the end of all samples has no say in the scale */
        for (int64_t b = 0; b < r->batch; b++)
            longest = MAX(longest, length_of(d, b));
        for (int64_t m = 0; m < rows; m++)
            memcpy(d->inputs + bytes_of(d, m * row), d->bias, bytes_of(d, row));
        ingot_integer_add(d->c, r, 0, d->index,
                          &(ingot_integer_job){ d->data->x, r->inputs, longest * r->batch, r->inputs, row,
                                                (float *)(void *)d->inputs,
                                                d->packed_w, integer_scratch(d), NULL, 0 });
        return;
    }
    for (int64_t m = 0; m < rows && !ingot_cancelled(d->c); m += ROWS)
        r->kernels.inputs(&d->cell, d->data->x, r->inputs, d->packed_w, d->bias, d->inputs, m, MIN(m + ROWS, rows), b0,
                          b1);
}

/* What the kernel needs for a step, but for what ragged batches do apart. */
static ingot_cell_step describe_step(const direction *d, int64_t step)
{
    const ingot_recurrent *r = d->r;
    const int64_t row = r->gates * r->units, t = time_of(d, step, 0);
    ingot_cell_step s = {
        .batch = r->batch, .backward = (step + r->turn) % 2, .packed = d->packed_r, .inputs = inputs_at(d, t, 0),
        .h = d->h[step % 2], .h_next = d->h[(step + 1) % 2], .cell = d->cells, .reset = d->spare,
        .inputs_row = r->batch_first ? r->steps * row : row, .state_row = r->units,
        .y_row = r->batch_first ? r->steps * r->directions * r->hidden : r->hidden,
    };

    if (d->data->y && !d->data->lens)
        s.y = y_at(d, t, 0);
    return s;
}

/* Blocks [b0, b1) of a ragged batch before its step: what the step changes and finished samples keep, and the inputs'
 * parts of samples that are at different times, which only a reverse direction has. */
static void begin_ragged(const direction *d, int64_t step, int64_t b0, int64_t b1, ingot_cell_step *s)
{
    const ingot_recurrent *r = d->r;
    const int64_t block = r->gates * r->kernels.lanes, row = r->gates * r->units, first = b0 * r->kernels.lanes;
    const size_t units = bytes_of(d, (b1 - b0) * r->kernels.lanes);

    for (int64_t b = 0; b < r->batch; b++) {
        const size_t at = bytes_of(d, b * r->units + first), in_row = bytes_of(d, b0 * block);
        if (d->cell.kind == INGOT_CELL_LSTM)
            memcpy(d->spare + at, d->cells + at, units);
        if (d->reverse)
            memcpy(d->gathered + bytes_of(d, b * row) + in_row, inputs_at(d, time_of(d, step, b), b) + in_row,
                   bytes_of(d, (b1 - b0) * block));
    }
    if (d->reverse) {
        s->inputs = d->gathered;
        s->inputs_row = row;
    }
}

/* And after it: finished samples keep their state, and their outputs are 0. */
static void end_ragged(const direction *d, int64_t step, int64_t b0, int64_t b1, const ingot_cell_step *s)
{
    const ingot_recurrent *r = d->r;
    const int64_t first = b0 * r->kernels.lanes, end = MIN(b1 * r->kernels.lanes, r->hidden);
    const size_t units = bytes_of(d, end - first);

    for (int64_t b = 0; b < r->batch; b++) {
        const bool finished = step >= length_of(d, b);
        const size_t at = bytes_of(d, b * r->units + first);
        char *next = (char *)s->h_next + at;
        if (finished) {
            memcpy(next, (const char *)s->h + at, units);
            if (d->cell.kind == INGOT_CELL_LSTM)
                memcpy(d->cells + at, d->spare + at, units);
        }
        if (d->data->y && finished)
            memset(y_at(d, step, b) + bytes_of(d, first), 0, units);
        else if (d->data->y)
            memcpy(y_at(d, time_of(d, step, b), b) + bytes_of(d, first), next, units);
    }
}

/* A single step whose blocks need nothing of each other. */
static bool is_single(const direction *d)
{
    return d->r->steps == 1 && !d->r->integer && d->cell.kind != INGOT_CELL_GRU && !d->data->lens;
}

/* It goes through the inputs' and the states' weights side by side, a few blocks at a time, and in the next run the
 * other way round: that one then finds what this one has read last in a cache that is less than the layer. */
static void run_single(const direction *d, int64_t b0, int64_t b1)
{
    enum { FEW = 4 };
    const ingot_cell_step s = describe_step(d, 0);

    for (int64_t i = b0; i < b1; i += FEW) {
        const int64_t n = MIN(FEW, b1 - i), b = s.backward ? b0 + b1 - i - n : i;
        compute_inputs(d, b, b + n);
        d->r->kernels.step(&d->cell, &s, b, b + n);
    }
}

/* All steps, one party's share of the blocks. The parties meet after each step, since the next needs the whole state;
 * the first one decides for all whether to go on. */
static void run_party(direction *d, int64_t party)
{
    const ingot_recurrent *r = d->r;
    const int64_t b0 = r->blocks * party / d->parties, b1 = r->blocks * (party + 1) / d->parties;

    if (is_single(d)) {
        run_single(d, b0, b1);
        return;
    }
    compute_inputs(d, b0, b1);
    for (int64_t step = 0; step < r->steps && !d->stop; step++) {
        ingot_cell_step s = describe_step(d, step);
        if (d->data->lens)
            begin_ragged(d, step, b0, b1, &s);
        if (r->integer) {
            ingot_integer_add(d->c, r, 1, d->index,
                              &(ingot_integer_job){ s.h, r->hidden, r->batch, s.state_row, s.inputs_row, s.inputs,
                                                    d->packed_r, integer_scratch(d), d->data->lens, step });
            s.summed = true;
        }
        r->kernels.step(&d->cell, &s, b0, b1);
        if (d->cell.kind == INGOT_CELL_GRU) {           /* the candidate needs the reset state of all units */
            ingot_barrier_wait(&d->barrier, (uint32_t)d->parties);
            s.half = 1;
            s.packed = d->packed_r + bytes_of(d, 2 * r->units * r->hidden);
            r->kernels.step(&d->cell, &s, b0, b1);
        }
        if (d->data->lens)
            end_ragged(d, step, b0, b1, &s);
        if (party == 0 && ingot_cancelled(d->c))
            d->stop = true;
        ingot_barrier_wait(&d->barrier, (uint32_t)d->parties);
    }
}

/* ---- setting up ---- */

/* Lay out one direction's memory, and fill in the initial states: zeros without the inputs. States are wider than
 * hidden where the last block is not full; the lanes past it start at zero and stay finite. Bias and peepholes are
 * the direction's own part of the layer's. */
static void open_direction(direction *d, ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data,
                           int index)
{
    const int64_t row = r->gates * r->units, state = r->batch * r->units, rows = r->steps * r->batch;

    *d = (direction){ .c = c, .r = r, .data = data, .cell = r->cell[index], .index = index,
                      .reverse = r->reverse || index == 1 };
    d->packed_w = (const char *)data->packed + bytes_of(d, index * r->packed_direction);
    d->packed_r = d->packed_w + bytes_of(d, r->packed_w);
    d->bias = d->packed_r + bytes_of(d, r->packed_r);
    d->cell.state_bias = d->bias + bytes_of(d, row);
    if (data->peepholes)
        d->cell.peepholes = (const char *)data->peepholes + bytes_of(d, index * 3 * r->hidden);
    d->inputs = (char *)data->scratch + bytes_of(d, index * r->direction_elements);
    /* The direction's memory, part by part. */
    d->h[0] = d->inputs + bytes_of(d, rows * row);
    d->h[1] = d->h[0] + bytes_of(d, state);
    d->cells = d->h[1] + bytes_of(d, state);
    d->spare = d->cells + bytes_of(d, state);
    d->gathered = d->spare + bytes_of(d, state);
    memset(d->h[0], 0, bytes_of(d, 3 * state));
    for (int64_t b = 0; b < r->batch; b++) {
        const size_t at = bytes_of(d, b * r->units), bytes = bytes_of(d, r->hidden);
        if (data->h0)
            memcpy(d->h[0] + at, (const char *)data->h0 + state_at(d, b), bytes);
        if (data->c0)
            memcpy(d->cells + at, (const char *)data->c0 + state_at(d, b), bytes);
    }
}

/* Y_h and Y_c, for those that want them. After an even number of steps the state is where it began. */
static void close_direction(const direction *d)
{
    const ingot_recurrent *r = d->r;

    for (int64_t b = 0; b < r->batch; b++) {
        const size_t at = bytes_of(d, b * r->units), bytes = bytes_of(d, r->hidden);
        if (d->data->y_h)
            memcpy((char *)d->data->y_h + state_at(d, b), d->h[r->steps % 2] + at, bytes);
        if (d->data->y_c)
            memcpy((char *)d->data->y_c + state_at(d, b), d->cells + at, bytes);
    }
}

/* Both directions of a node, as the threads share them. */
typedef struct layer {
    direction directions[2];
    int n_directions;
} layer;

/* Task over the parties of all directions, directions running fastest: with one party each, a thread that is alone
 * takes one direction after the other, and two threads one each. */
static void run_parties(void *argument, int64_t begin, int64_t end, int thread)
{
    layer *l = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        run_party(&l->directions[i % l->n_directions], i / l->n_directions);
}

/* Directions need nothing of each other; where there are more threads they share out the blocks of one, if a step's
 * work is worth meeting for. A thread keeps its blocks for all steps, and with them their weights in its cache. */
void ingot_recurrent_run(ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data)
{
    enum { PARTY_WORK = 1 << 15, DIRECTION_WORK = 1 << 16 };      /* multiply-adds */
    const int64_t step_work = r->batch * r->gates * r->hidden * (r->hidden + r->inputs);
    const int64_t most = MIN(r->blocks, ingot_team_active(c->team) / r->directions);
    const int64_t parties = r->integer ? 1 : MAX(1, MIN(most, step_work / PARTY_WORK));
    const bool together = parties == 1 && r->steps * step_work < DIRECTION_WORK;
    layer l = { .n_directions = r->directions };

    for (int i = 0; i < r->directions; i++) {
        open_direction(&l.directions[i], c, r, data, i);
        l.directions[i].parties = parties;
    }
    ingot_parallel(c->team, r->directions * parties, together ? r->directions : 1, run_parties, &l);
    for (int i = 0; i < r->directions; i++)
        close_direction(&l.directions[i]);
}
