/* test_cell.c - recurrent cells, in float and double, against their definitions in double: every kind, over hidden
 * sizes, batches and inputs that cross every tile edge, cut into ranges of blocks in either direction. */
#include "check.h"

/* One step of a recurrent layer: kind and sizes, the functions f, g, h of its gates with their parameters, and the
 * standard's options. clip is infinite where sums are not clipped. */
typedef struct cell_case {
    ingot_cell_kind kind;
    int64_t hidden, batch, inputs;
    ingot_gate gate[3];
    float clip;
    bool input_forget, peepholes;
    bool one_sum;
} cell_case;

/* The kernels of one element type. */
typedef struct cell_kernels {
    const char *name;
    int lanes;
    bool wide;                     /* double */
    void (*pack)(void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0, int64_t b1);
    void (*inputs)(const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias, void *inputs,
                   int64_t m0, int64_t m1, int64_t b0, int64_t b1);
    void (*step)(const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1);
} cell_kernels;

/* Buffers have room for doubles where elements are; reading and writing goes through get() and put(). */

/* Everything one case works on; elements are float or double. */
typedef struct cell_data {
    float *x, *w, *r, *bias, *state_bias, *peepholes, *packed_w, *packed_r, *inputs, *h, *cell, *h_next, *reset, *y;
    int64_t gates, blocks, units, y_row;
} cell_data;

/* Element i of a buffer. */
static double get(const cell_kernels *e, const float *p, int64_t i)
{
    double wide;
    if (!e->wide)
        return (double)p[i];
    memcpy(&wide, p + 2 * i, sizeof wide);
    return wide;
}

/* Set element i of a buffer to x, rounded to the element type. */
static void put(const cell_kernels *e, float *p, int64_t i, double x)
{
    if (e->wide)
        memcpy(p + 2 * i, &x, sizeof x);
    else
        p[i] = (float)x;
}

/* n elements, in [-scale, scale]; room for canaries around them. */
static float *randoms(const cell_kernels *e, int64_t n, double scale)
{
    float *p = check_floats(e->wide ? 2 * n : n);
    for (int64_t i = 0; i < n; i++)
        put(e, p, i, scale * (double)check_random());
    return p;
}

/* Check the canaries around n elements and free them. */
static void give_back(const cell_kernels *e, float *p, int64_t n, const char *what)
{
    check_free(p, e->wide ? 2 * n : n, what);
}

/* The standard's functions, by their definitions, of one number. */
static double function_of(const ingot_gate *g, double x)
{
    const double a = (double)g->alpha, b = (double)g->beta;
    switch (g->function) {
    case INGOT_GATE_SIGMOID: return 1 / (1 + exp(-x));
    case INGOT_GATE_TANH: return tanh(x);
    case INGOT_GATE_RELU: return x < 0 ? 0 : x;
    case INGOT_GATE_LEAKY_RELU: return x < 0 ? a * x : x;
    case INGOT_GATE_HARD_SIGMOID: return fmax(0, fmin(1, a * x + b));
    case INGOT_GATE_ELU: return x < 0 ? a * expm1(x) : x;
    case INGOT_GATE_AFFINE: return a * x + b;
    case INGOT_GATE_THRESHOLDED_RELU: return x >= a ? x : 0;
    case INGOT_GATE_SCALED_TANH: return a * tanh(b * x);
    case INGOT_GATE_SOFTSIGN: return x / (1 + fabs(x));
    case INGOT_GATE_SOFTPLUS: return log1p(exp(x));
    }
    return x;
}

/* Function f, g or h (0 to 2) of a sum, which is clipped to [-clip, clip] before. */
static double gate_of(const cell_case *t, int f, double x)
{
    return function_of(&t->gate[f], fmax(-(double)t->clip, fmin((double)t->clip, x)));
}

/* Row `row` of a gate of unit j: what x and the bias give, and what `state` gives. */
static double input_sum(const cell_kernels *e, const cell_case *t, const cell_data *d, int gate, int64_t row, int64_t j)
{
    const int64_t block = j / e->lanes, lane = j % e->lanes;
    double sum = get(e, d->bias, (block * d->gates + gate) * e->lanes + lane);
    for (int64_t l = 0; l < t->inputs; l++)
        sum += get(e, d->x, row * t->inputs + l) * get(e, d->w, (gate * t->hidden + j) * t->inputs + l);
    return sum;
}

/* What a state gives to a gate of unit j, without bias. */
static double state_sum(const cell_kernels *e, const cell_case *t, const cell_data *d, const double *state, int gate,
                        int64_t j)
{
    double sum = 0;
    for (int64_t l = 0; l < t->hidden; l++)
        sum += state[l] * get(e, d->r, (gate * t->hidden + j) * t->hidden + l);
    return sum;
}

/* The gates' sums of unit j. */
static void sums_of(const cell_kernels *e, const cell_case *t, const cell_data *d, const double *h, int64_t row,
                    int64_t j, double *sum)
{
    for (int g = 0; g < d->gates; g++)
        sum[g] = input_sum(e, t, d, g, row, j) + state_sum(e, t, d, h, g, j);
}

/* What gate `index` of i, o, f sees of the cell. */
static double peep(const cell_kernels *e, const cell_case *t, const cell_data *d, int index, int64_t j, double cell)
{
    return t->peepholes ? get(e, d->peepholes, index * t->hidden + j) * cell : 0;
}

/* The new state of a row, and in *cell that of LSTM's cell, by the standard's formulas. */
static double want_lstm(const cell_kernels *e, const cell_case *t, const cell_data *d, const double *h, int64_t row,
                        int64_t j, double *cell)
{
    double sum[4];
    sums_of(e, t, d, h, row, j, sum);
    const double i = gate_of(t, 0, sum[0] + peep(e, t, d, 0, j, *cell));
    const double f = t->input_forget ? 1 - i : gate_of(t, 0, sum[2] + peep(e, t, d, 2, j, *cell));
    *cell = f * *cell + i * gate_of(t, 1, sum[3]);
    return gate_of(t, 0, sum[1] + peep(e, t, d, 1, j, *cell)) * function_of(&t->gate[2], *cell);
}

/* Both kinds: the reset gate applied to the product of the candidate, or to the state before it. */
static double want_gru(const cell_kernels *e, const cell_case *t, const cell_data *d, const double *h, int64_t row,
                       int64_t j)
{
    double sum[3], reset[128], candidate;
    sums_of(e, t, d, h, row, j, sum);
    /* the update gate, then the candidate in either form */
    const double z = gate_of(t, 0, sum[0]);
    if (t->kind == INGOT_CELL_GRU_BEFORE) {
        candidate = gate_of(t, 0, sum[1]) * (state_sum(e, t, d, h, 2, j) + get(e, d->state_bias, j));
    } else {
        for (int64_t l = 0; l < t->hidden; l++) {
            double other[3];
            sums_of(e, t, d, h, row, l, other);
            reset[l] = gate_of(t, 0, other[1]) * h[l];
        }
        candidate = state_sum(e, t, d, reset, 2, j);
    }
    return (1 - z) * gate_of(t, 1, candidate + input_sum(e, t, d, 2, row, j)) + z * h[j];
}

/* Looser for float, whose sums run over up to 70 terms. */
static void compare(const cell_kernels *e, double got, double want, const char *what, int64_t index)
{
    const double tolerance = e->wide ? 1e-13 : 2e-6;
    check_count++;
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        check_fail("%s [%lld]: got %.17g, wanted %.17g", what, (long long)index, got, want);
}

/* Compare a step's state (and LSTM's cell) with the definition, for every row and unit. `before` is the cell as it
 * was before the step, as the kernel overwrites it; y must be a copy of the new state. */
static void check_results(const cell_kernels *e, const cell_case *t, const cell_data *d, const float *before,
                          const char *what)
{
    double h[128];
    for (int64_t row = 0; row < t->batch; row++) {
        for (int64_t j = 0; j < t->hidden; j++)
            h[j] = get(e, d->h, row * d->units + j);
        for (int64_t j = 0; j < t->hidden; j++) {
            const int64_t at = row * d->units + j;
            double cell = get(e, before, at), sum[1];
            double want;
            if (t->kind == INGOT_CELL_LSTM) {
                want = want_lstm(e, t, d, h, row, j, &cell);
                compare(e, get(e, d->cell, at), cell, what, at);
            } else if (t->kind == INGOT_CELL_RNN) {
                sums_of(e, t, d, h, row, j, sum);
                want = gate_of(t, 0, sum[0]);
            } else {
                want = want_gru(e, t, d, h, row, j);
            }
            compare(e, get(e, d->h_next, at), want, what, at);
            compare(e, get(e, d->y, row * d->y_row + j), get(e, d->h_next, at), what, at);
        }
    }
}

/* Inputs' part in four pieces (rows by blocks), then the step in two ranges of blocks, the later range first. A GRU
 * whose reset gate acts on the state takes two half steps: all reset gates must be there before the first candidate. */
static void run_case(const cell_kernels *e, const ingot_cell *cell, const cell_case *t, const cell_data *d,
                     int64_t split, bool backward)
{
    const size_t size = e->wide ? sizeof(double) : sizeof(float);
    const int64_t row = d->gates * d->units, rows = t->batch / 2;
    ingot_cell_step s = { .batch = t->batch, .backward = backward, .packed = d->packed_r, .inputs = d->inputs,
                          .h = d->h, .h_next = d->h_next, .cell = d->cell, .reset = d->reset, .y = d->y,
                          .inputs_row = row, .state_row = d->units, .y_row = d->y_row };

    for (int part = 0; part < 4; part++)
        e->inputs(cell, d->x, t->inputs, d->packed_w, d->bias, d->inputs, part / 2 ? rows : 0,
                  part / 2 ? t->batch : rows, part % 2 ? split : 0, part % 2 ? d->blocks : split);
    for (s.half = 0; s.half < (t->kind == INGOT_CELL_GRU ? 2 : 1); s.half++) {
        e->step(cell, &s, split, d->blocks);
        e->step(cell, &s, 0, split);
        s.packed = (const char *)d->packed_r + (size_t)(2 * d->units * t->hidden) * size;
    }
}

/* W in two ranges of blocks, R at once; GRU's candidate apart, as its product is. */
static void pack_case(const cell_kernels *e, const cell_case *t, const cell_data *d)
{
    const int64_t half = t->kind == INGOT_CELL_GRU ? 2 : d->gates, size = e->wide ? 2 : 1, split = d->blocks / 2;

    e->pack(d->packed_w, d->w, (int)d->gates, t->hidden, t->inputs, split, d->blocks);
    e->pack(d->packed_w, d->w, (int)d->gates, t->hidden, t->inputs, 0, split);
    e->pack(d->packed_r, d->r, (int)half, t->hidden, t->hidden, 0, d->blocks);
    if (half < d->gates)
        e->pack(d->packed_r + half * d->units * t->hidden * size, d->r + half * t->hidden * t->hidden * size, 1,
                t->hidden, t->hidden, 0, d->blocks);
}

/* One case, with random numbers that are scaled so that gates are not all saturated. Results must fit the
 * definition, and be the same bits for another cut and order of the blocks. */
static void check_cell(const cell_kernels *e, const cell_case *t)
{
    cell_data d = { .gates = t->kind == INGOT_CELL_LSTM ? 4 : t->kind == INGOT_CELL_RNN ? 1 : 3,
                    .y_row = t->hidden + 3 };
    char what[128];

    snprintf(what, sizeof what, "cell %s kind %d hidden %lld batch %lld inputs %lld", e->name, t->kind,
             (long long)t->hidden, (long long)t->batch, (long long)t->inputs);
    d.blocks = (t->hidden + e->lanes - 1) / e->lanes;
    d.units = d.blocks * e->lanes;
    /* all buffers with their sizes; scale 0 for those that the kernels write */
    const int64_t n_w = d.gates * t->hidden * t->inputs, n_r = d.gates * t->hidden * t->hidden;
    const int64_t state = t->batch * d.units, n_y = (t->batch - 1) * d.y_row + t->hidden;
    const struct { float **to; int64_t n; double scale; } buffers[] = {
        { &d.x, t->batch * t->inputs, 1 },          { &d.w, n_w, 0.5 },
        { &d.r, n_r, 0.3 },                         { &d.bias, d.gates * d.units, 1 },
        { &d.state_bias, d.units, 1 },              { &d.peepholes, 3 * t->hidden, 1 },
        { &d.packed_w, d.gates * d.units * t->inputs, 0 },
        { &d.packed_r, d.gates * d.units * t->hidden, 0 },
        { &d.inputs, t->batch * d.gates * d.units, 0 },
        { &d.h, state, 1 }, { &d.cell, state, 1 }, { &d.h_next, state, 0 }, { &d.reset, state, 0 }, { &d.y, n_y, 0 },
    };
    enum { N_BUFFERS = sizeof buffers / sizeof *buffers };

    for (int i = 0; i < N_BUFFERS; i++)
        *buffers[i].to = randoms(e, buffers[i].n, buffers[i].scale);
    const ingot_cell cell = { t->kind, t->hidden, t->input_forget, t->clip, { t->gate[0], t->gate[1], t->gate[2] },
                              t->peepholes ? d.peepholes : NULL, d.state_bias, t->one_sum };
    const size_t state_bytes = (size_t)state * (e->wide ? sizeof(double) : sizeof(float));
    float *before = randoms(e, state, 0), *first = randoms(e, state, 0);
    memcpy(before, d.cell, state_bytes);
    pack_case(e, t, &d);
    run_case(e, &cell, t, &d, d.blocks / 3, false);
    check_results(e, t, &d, before, what);
    memcpy(first, d.h_next, state_bytes);
    /* again from the same state, in one range and backwards */
    memcpy(d.cell, before, state_bytes);
    run_case(e, &cell, t, &d, d.blocks, true);
    check_count++;
    if (memcmp(first, d.h_next, state_bytes))
        check_fail("%s: other bits in another order", what);
    for (int i = 0; i < N_BUFFERS; i++)
        give_back(e, *buffers[i].to, buffers[i].n, what);
    give_back(e, before, state, what), give_back(e, first, state, what);
}

/* All kinds at one size: with the usual functions and no options, then with rare functions, clipping and options,
 * which take turns from size to size. */
static void check_kinds(const cell_kernels *e, int64_t hidden, int64_t batch, int64_t inputs, int turn)
{
    static const ingot_gate rare[] = {
        { INGOT_GATE_RELU, 0, 0 },
        { INGOT_GATE_LEAKY_RELU, 0.125f, 0 },
        { INGOT_GATE_HARD_SIGMOID, 0.25f, 0.5f },
        { INGOT_GATE_ELU, 1.5f, 0 },
        { INGOT_GATE_AFFINE, 0.5f, 0.25f },
        { INGOT_GATE_THRESHOLDED_RELU, 0.5f, 0 },
        { INGOT_GATE_SCALED_TANH, 1.25f, 0.75f },
        { INGOT_GATE_SOFTSIGN, 0, 0 },
        { INGOT_GATE_SOFTPLUS, 0, 0 },
    };
    enum { N_RARE = sizeof rare / sizeof *rare };

    for (int kind = INGOT_CELL_RNN; kind <= INGOT_CELL_LSTM; kind++) {
        cell_case t = { .kind = (ingot_cell_kind)kind, .hidden = hidden, .batch = batch, .inputs = inputs,
                        .gate = { { INGOT_GATE_SIGMOID, 0, 0 }, { INGOT_GATE_TANH, 0, 0 }, { INGOT_GATE_TANH, 0, 0 } },
                        .clip = INFINITY };
        check_cell(e, &t);
        /* the options and rare functions, which any model may combine */
        t.clip = 0.75f;
        t.peepholes = turn % 2 == 0;
        t.input_forget = turn % 3 == 0;
        t.one_sum = turn % 2 == 1;
        for (int i = 0; i < 3; i++)
            t.gate[i] = rare[(turn + 2 * i) % N_RARE];
        check_cell(e, &t);
    }
}

/* Sizes around the vectors' lanes, batches around the tiles' rows, and a layer without inputs. */
static void test(const ingot_kernels *k)
{
    /* float at this instruction set; double is the same code for all of them */
    const cell_kernels types[] = {
        { k->isa, k->lanes, false, k->cell_pack_f32, k->cell_inputs_f32, k->cell_step_f32 },
        { "double", 1, true, k->cell_pack_f64, k->cell_inputs_f64, k->cell_step_f64 },
    };
    int turn = 0;

    for (int type = 0; type < 2; type++) {
        for (int64_t hidden = 1; hidden <= 50; hidden += hidden < 20 ? 1 : 7)
            check_kinds(&types[type], hidden, 1 + turn % 3, 1 + turn % 9, turn), turn++;
        for (int64_t batch = 1; batch <= 17; batch++)
            check_kinds(&types[type], 19, batch, 5, turn++);
        check_kinds(&types[type], 70, 1, 33, turn++);
        check_kinds(&types[type], 115, 1, 3, turn++);
        check_kinds(&types[type], 5, 2, 0, turn++);
    }
}

int main(void) { return check_every_isa(test, false); }
