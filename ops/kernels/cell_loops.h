/* cell_loops.h - recurrent layers for one element type: T, TYPED(name), a vector of LANES of them with V(operation),
 * and as many such vectors as stay in registers: SUMS.
 *
 * Weights are packed [block of units][k][gate][lane], so that one tile (some rows of the batch by one block) holds all
 * gates of its units in registers: the sums start at the inputs' part, and the gates are combined as soon as the sums
 * are complete. The weights of a block are read as one stream; with a batch of 1 their way from the cache is the time a
 * step takes. A single row would leave the multipliers waiting for each other's sums, so it has several sums of each
 * gate, which take the steps of k in turn. */

enum {
    LINE = 64, MAX_ROWS = 8, MAX_GATES = 4,
    ROW_SUMS = SUMS < 8 ? SUMS : 8,         /* of a single row */
    TOGETHER = SUMS / ROW_SUMS,             /* blocks that a single row takes together */
};

/* A tile: rows of a (k numbers each) times the packed weights of a block, added to where each gate starts. */
typedef struct tile_job {
    const T *a, *weights;
    int64_t k;
    ptrdiff_t a_row;
    const T *start[MAX_GATES];
    ptrdiff_t start_row[MAX_GATES];         /* of a single row: to the start of the next block */
    ptrdiff_t next_block;                   /* of a single row: to the weights of the next block */
    bool one_sum;                           /* of a single row too: it is added up as a row among others is */
    const char *next;                       /* fetched into the second level meanwhile, a cache line a step */
    T *out;                                 /* [row][gate][lane] */
    ptrdiff_t out_row;
} tile_job;

/* One step of k onto the sums from `first` on. The smaller of the two sets of operands is kept in registers. */
INGOT_INLINE void add_step(vector acc[MAX_ROWS][ROW_SUMS], const T *a, ptrdiff_t a_row, const T *w, int rows, int gates,
                           int first)
{
    const int kept = rows < gates ? rows : gates, passed = rows < gates ? gates : rows;
    vector keep[MAX_GATES];

    INGOT_UNROLL
    for (int i = 0; i < kept; i++)
        keep[i] = rows < gates ? V(set1)(a[i * a_row]) : V(load)(w + i * LANES);
    INGOT_UNROLL
    for (int j = 0; j < passed; j++) {
        const vector v = rows < gates ? V(load)(w + j * LANES) : V(set1)(a[j * a_row]);
        INGOT_UNROLL
        for (int i = 0; i < kept; i++) {
            const int row = rows < gates ? i : j, sum = first + (rows < gates ? j : i);
            acc[row][sum] = V(acc)(acc[row][sum], keep[i], v);
        }
    }
}

/* The sums of n rows, or blocks: the first of each gate begins where the gate starts, the others at 0. */
INGOT_INLINE void begin_sums(const tile_job *t, vector (*acc)[ROW_SUMS], int n, int gates, int sums)
{
    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        INGOT_UNROLL
        for (int j = 0; j < gates * sums; j++)
            acc[i][j] = j < gates ? V(load)(t->start[j] + i * t->start_row[j]) : V(zero)();
    }
}

/* The sums of each gate are added in order. */
INGOT_INLINE void store_sums(const tile_job *t, vector (*acc)[ROW_SUMS], int n, int gates, int sums)
{
    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        INGOT_UNROLL
        for (int g = 0; g < gates; g++) {
            vector sum = acc[i][g];
            INGOT_UNROLL
            for (int s = 1; s < sums; s++)
                sum = V(add)(sum, acc[i][s * gates + g]);
            V(store)(t->out + i * t->out_row + g * LANES, sum);
        }
    }
}

/* A whole tile, with `rows`, `gates` and the number of sums of each known to the compiler. Which steps go to which
 * sum depends on k alone. */
INGOT_INLINE void tile(const tile_job *t, int rows, int gates, int sums)
{
    const T *a = t->a, *w = t->weights;
    const char *next = t->next;
    vector acc[MAX_ROWS][ROW_SUMS];
    int64_t l = 0;

    begin_sums(t, acc, rows, gates, sums);
    /* `sums` steps at a time, each to sums of its own */
    for (; l + sums <= t->k; l += sums, w += sums * gates * LANES) {
        INGOT_UNROLL
        for (int s = 0; s < sums; s++)
            add_step(acc, a + l + s, t->a_row, w + s * gates * LANES, rows, gates, s * gates);
        if (rows > 1) {                                 /* a single row has no time to spare */
            __builtin_prefetch(next, 0, 2);
            next += LINE;
        }
    }
    for (; l < t->k; l++, w += gates * LANES)           /* with one sum, nothing is left */
        add_step(acc, a + l, t->a_row, w, 1, gates, 0);
    store_sums(t, acc, rows, gates, sums);
}

/* One step of k onto the sums from `first` on of several blocks, whose weights are `next` apart. */
INGOT_INLINE void add_step_blocks(vector acc[TOGETHER][ROW_SUMS], T a, const T *w, ptrdiff_t next, int blocks,
                                  int gates, int first)
{
    const vector x = V(set1)(a);

    INGOT_UNROLL
    for (int i = 0; i < blocks * gates; i++) {
        vector *sum = &acc[i / gates][first + i % gates];
        *sum = V(acc)(*sum, x, V(load)(w + i / gates * next + i % gates * LANES));
    }
}

/* A single row by several blocks: an element of a is read once for all. Sums are taken as tile() takes them. */
INGOT_INLINE void tile_blocks(const tile_job *t, int blocks, int gates, int sums)
{
    const T *w = t->weights;
    vector acc[TOGETHER][ROW_SUMS];
    int64_t l = 0;

    begin_sums(t, acc, blocks, gates, sums);
    for (; l + sums <= t->k; l += sums, w += sums * gates * LANES) {
        INGOT_UNROLL
        for (int i = 0; i < sums; i++)
            add_step_blocks(acc, t->a[l + i], w + i * gates * LANES, t->next_block, blocks, gates, i * gates);
    }
    for (; l < t->k; l++, w += gates * LANES)
        add_step_blocks(acc, t->a[l], w, t->next_block, blocks, gates, 0);
    store_sums(t, acc, blocks, gates, sums);
}

/* With all numbers known to the compiler; where there are registers for it. */
static void run_blocks(const tile_job *t, int gates)
{
    if (TOGETHER > 1)
        switch (gates) {
        case 1: tile_blocks(t, TOGETHER, 1, ROW_SUMS); break;
        case 2: tile_blocks(t, TOGETHER, 2, ROW_SUMS / 2); break;
        case 3: tile_blocks(t, TOGETHER, 3, ROW_SUMS / 3); break;
        default: tile_blocks(t, TOGETHER, 4, ROW_SUMS / 4); break;
        }
}

/* Rows of the tallest tile whose sums stay in registers. */
static int most_rows(int gates) { return (int)min64(MAX_ROWS, SUMS / gates); }

/* A case for each height: the compiler makes one straight-line tile of each, and drops those that are too tall. */
#define ROWS_CASE(rows, gates) \
    case rows: \
        if (rows == 1 && !t->one_sum) \
            tile(t, rows, gates, ROW_SUMS / gates); \
        else if (rows * gates <= SUMS) \
            tile(t, rows, gates, 1); \
        break;
#define ROWS_CASES(gates) \
    ROWS_CASE(1, gates) ROWS_CASE(2, gates) ROWS_CASE(3, gates) ROWS_CASE(4, gates) ROWS_CASE(5, gates) \
    ROWS_CASE(6, gates) ROWS_CASE(7, gates) ROWS_CASE(8, gates)

/* Tiles of one to four gates. */
static void tile_1(const tile_job *t, int rows) { switch (rows) { ROWS_CASES(1) } }
static void tile_2(const tile_job *t, int rows) { switch (rows) { ROWS_CASES(2) } }
static void tile_3(const tile_job *t, int rows) { switch (rows) { ROWS_CASES(3) } }
static void tile_4(const tile_job *t, int rows) { switch (rows) { ROWS_CASES(4) } }

/* One of the tiles above: rows <= most_rows(gates), 1 <= gates <= MAX_GATES. */
static void run_tile(const tile_job *t, int rows, int gates)
{
    static void (*const tiles[])(const tile_job *, int) = { tile_1, tile_2, tile_3, tile_4 };
    tiles[gates - 1](t, rows);
}

/* Gates of the inputs' part. */
static int count_gates(const ingot_cell *d)
{
    return d->kind == INGOT_CELL_LSTM ? 4 : d->kind == INGOT_CELL_RNN ? 1 : 3;
}

/* Blocks [b0, b1) of weights [gate][hidden][k]; units past the last one get zeros. */
void INGOT_FN(TYPED(cell_pack))(void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0,
                                int64_t b1)
{
    enum { STEPS = 16 };                    /* taken at a time, so that the matrix is read along its cache lines */

    for (int64_t b = b0; b < b1; b++)
        for (int64_t l = 0; l < k; l += STEPS)
            for (int row = 0; row < gates * LANES; row++) {
                const int64_t unit = b * LANES + row % LANES;
                const T *from = (const T *)weights + (row / LANES * hidden + unit) * k + l;
                T *to = (T *)packed + (b * k + l) * gates * LANES + row;
                for (int64_t i = 0; i < min64(STEPS, k - l); i++)
                    to[i * gates * LANES] = unit < hidden ? from[i] : 0;
            }
}

/* A product whose result has the blocks' order at once: rows of a block follow each other while its weights are
 * near. Here the multipliers are what is waited for, so there is time to fetch the states' weights, which lie behind
 * the inputs' in a layer and which the first step would wait for. */
void INGOT_FN(TYPED(cell_inputs))(const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias,
                                  void *inputs, int64_t m0, int64_t m1, int64_t b0, int64_t b1)
{
    const int gates = count_gates(d);
    const ptrdiff_t block = gates * LANES, row = ceil_div(d->hidden, LANES) * block;

    for (int64_t b = b0; b < b1; b++) {
        tile_job t = { .weights = (const T *)packed + b * block * k, .k = k, .a_row = k, .out_row = row,
                       .one_sum = d->one_sum,
                       .next = (const char *)((const T *)packed + row * k + b * block * d->hidden) };
        int64_t strips = ceil_div(m1 - m0, most_rows(gates));

        for (int g = 0; g < gates; g++)
            t.start[g] = (const T *)bias + b * block + g * LANES;
        for (int64_t m = m0; m < m1; strips--) {
            const int rows = (int)ceil_div(m1 - m, strips);
            t.a = (const T *)x + m * k;
            t.out = (T *)inputs + m * row + b * block;
            run_tile(&t, rows, gates);
            t.next += k * LINE;
            m += rows;
        }
    }
}

/* ---- the gates of one block of a row ---- */

/* The function of a gate, of what is left of x between the limits; NaN passes both. */
INGOT_INLINE vector pass_gate(const ingot_gate *g, float limit, vector x)
{
    if (limit < INFINITY)
        x = V(min)(V(set1)(limit), V(max)(V(set1)(-limit), x));
    return g->function == INGOT_GATE_SIGMOID ? V(sigmoid)(x) : g->function == INGOT_GATE_TANH ? V(tanh)(x)
                                                                                             : rare_gate(g, x);
}

/* Where a block of a row is: in states, in the batch, in the layer; and how many of its units there are. */
typedef struct place {
    ptrdiff_t at;
    int64_t row, unit;
    size_t have;
} place;

/* The new state of a block: to the next step, whole, and to the layer's output as far as there are units. */
INGOT_INLINE void put_state(const ingot_cell_step *s, const place *p, vector h)
{
    T *y = (T *)s->y + p->row * s->y_row + p->unit;

    V(store)((T *)s->h_next + p->at, h);
    if (s->y && p->have == LANES)
        V(store)(y, h);
    else if (s->y)
        V(store_n)(y, h, p->have);
}

/* Only an LSTM has a cell to see. */
INGOT_INLINE bool has_peepholes(const ingot_cell *d) { return d->kind == INGOT_CELL_LSTM && d->peepholes; }

/* What peephole `index` sees of the cell, added to x. */
INGOT_INLINE vector peep(const ingot_cell *d, const place *p, int index, vector cell, vector x)
{
    return V(fma)(V(load_n)((const T *)d->peepholes + index * d->hidden + p->unit, p->have), cell, x);
}

/* Those of i and f, which see the cell before the step. */
INGOT_INLINE void peep_first(const ingot_cell *d, const ingot_cell_step *s, const place *p, T *g)
{
    const vector before = V(load)((const T *)s->cell + p->at);

    V(store)(g, peep(d, p, 0, before, V(load)(g)));
    V(store)(g + 2 * LANES, peep(d, p, 2, before, V(load)(g + 2 * LANES)));
}

/* i, f and the candidate make the new cell; with peepholes the output gate sees that one. */
INGOT_INLINE void finish_lstm(const ingot_cell *d, const ingot_cell_step *s, const place *p, const T *g)
{
    T *cell = (T *)s->cell + p->at;
    const vector i = V(load)(g), f = d->input_forget ? V(sub)(V(set1)(1), i) : V(load)(g + 2 * LANES);
    const vector now = V(fma)(f, V(load)(cell), V(mul)(i, V(load)(g + 3 * LANES)));
    vector o = V(load)(g + LANES);

    if (d->peepholes)
        o = pass_gate(&d->gate[0], d->clip, peep(d, p, 1, now, o));
    V(store)(cell, now);
    put_state(s, p, V(mul)(o, pass_gate(&d->gate[2], INFINITY, now)));
}

/* (1 - z) candidate + z h */
INGOT_INLINE void finish_gru(const ingot_cell_step *s, const place *p, vector z, vector candidate)
{
    const vector h = V(load)((const T *)s->h + p->at);
    put_state(s, p, V(fma)(z, h, V(mul)(V(sub)(V(set1)(1), z), candidate)));
}

/* The sums of the candidate hold the state's part alone, which the reset gate scales before the inputs' part joins
 * it. */
INGOT_INLINE void finish_gru_before(const ingot_cell *d, const ingot_cell_step *s, const place *p, const T *g,
                                    const T *inputs)
{
    const vector candidate = V(fma)(V(load)(g + LANES), V(load)(g + 2 * LANES), V(load)(inputs + 2 * LANES));

    finish_gru(s, p, V(load)(g), pass_gate(&d->gate[1], d->clip, candidate));
}

/* The first half leaves z with the inputs' part, and what the second multiplies by the candidate's weights. */
INGOT_INLINE void finish_gru_half(const ingot_cell_step *s, const place *p, const T *g, T *inputs)
{
    if (s->half) {
        finish_gru(s, p, V(load)(inputs), V(load)(g));
        return;
    }
    V(store)(inputs, V(load)(g));
    V(store)((T *)s->reset + p->at, V(mul)(V(load)(g + LANES), V(load)((const T *)s->h + p->at)));
}

/* g: the gates of the block, passed already if they wait for no other; inputs: where the row keeps the inputs' part of
 * them. */
INGOT_INLINE void finish(const ingot_cell *d, const ingot_cell_step *s, const place *p, const T *g, T *inputs)
{
    switch (d->kind) {
    case INGOT_CELL_LSTM: finish_lstm(d, s, p, g); break;
    case INGOT_CELL_GRU_BEFORE: finish_gru_before(d, s, p, g, inputs); break;
    case INGOT_CELL_GRU: finish_gru_half(s, p, g, inputs); break;
    case INGOT_CELL_RNN: put_state(s, p, V(load)(g)); break;
    }
}

/* Sums of gates, of up to MAX_ROWS rows or blocks. */
typedef T gate_sums[MAX_GATES * LANES];

/* Gate `index` of n of them, in place. */
INGOT_INLINE void pass_all(const ingot_gate *gate, float limit, gate_sums *sums, int n, int index)
{
    for (int i = 0; i < n; i++) {
        T *at = sums[i] + index * LANES;
        V(store)(at, pass_gate(gate, limit, V(load)(at)));
    }
}

/* The gates that wait for no other. */
INGOT_INLINE void pass_first(const ingot_cell *d, const ingot_cell_step *s, gate_sums *sums, int n)
{
    const bool lstm = d->kind == INGOT_CELL_LSTM, candidate = d->kind == INGOT_CELL_GRU && s->half;

    pass_all(&d->gate[candidate], d->clip, sums, n, 0);
    if (d->kind != INGOT_CELL_RNN && !candidate && !has_peepholes(d))
        pass_all(&d->gate[0], d->clip, sums, n, 1);
    if (lstm && !d->input_forget)
        pass_all(&d->gate[0], d->clip, sums, n, 2);
    if (lstm)
        pass_all(&d->gate[1], d->clip, sums, n, 3);
}

/* ---- a step ---- */

/* The sums of `rows` rows from place p on, or of a single row in TOGETHER blocks. */
INGOT_INLINE void sum_gates(const ingot_cell *d, const ingot_cell_step *s, const place *p, int rows, bool together,
                            T *sums)
{
    /* a GRU's half steps: z and r from the state, then the candidate from what r left of it */
    const bool halves = d->kind == INGOT_CELL_GRU;
    const int all = count_gates(d), gates = !halves ? all : s->half ? 1 : 2, first = halves && s->half ? 2 : 0;
    const T *inputs = (const T *)s->inputs + p->row * s->inputs_row + p->unit * all;
    tile_job t = { .a = (const T *)(first ? s->reset : s->h) + p->row * s->state_row, .a_row = s->state_row,
                   .weights = s->summed ? NULL : (const T *)s->packed + p->unit * gates * d->hidden,
                   .k = s->summed ? 0 : d->hidden,
                   .next_block = s->summed ? 0 : LANES * gates * d->hidden,
                   .one_sum = d->one_sum, .out = sums, .out_row = MAX_GATES * LANES };

    t.next = (const char *)t.weights;

    for (int g = 0; g < gates; g++) {
        t.start[g] = inputs + (first + g) * LANES;
        t.start_row[g] = rows == 1 ? all * LANES : s->inputs_row;
    }
    if (d->kind == INGOT_CELL_GRU_BEFORE) {
        t.start[2] = (const T *)d->state_bias + p->unit;
        t.start_row[2] = rows == 1 ? LANES : 0;
    }
    if (together)
        run_blocks(&t, gates);
    else
        run_tile(&t, rows, gates);
}

/* Are the states' weights a little more than a first-level cache of 32 KB, as it is where vectors are split? Block by
 * block, to and fro, a step finds most of them there; side by side, blocks pass over all of them, and it finds none. */
static bool nearly_fits(const ingot_cell *d)
{
    const int64_t bytes = d->hidden * count_gates(d) * d->hidden * (int64_t)sizeof(T);
    return wide_is_split() && bytes > 28 * 1024 && bytes < 64 * 1024;
}

/* Rows from row on, of block b and the next ones. Gates are passed for all of them at a time: each is a long chain of
 * instructions, which wait for each other. */
static void run_rows(const ingot_cell *d, const ingot_cell_step *s, int64_t row, int rows, int64_t b, int blocks)
{
    gate_sums sums[MAX_ROWS];
    place places[MAX_ROWS];
    const bool side_by_side = TOGETHER > 1 && rows == 1 && !d->one_sum && !nearly_fits(d);

    for (int n = 0, taken; n < blocks; n += taken) {
        const bool together = side_by_side && n + TOGETHER <= blocks;
        taken = together ? TOGETHER : 1;
        const int i = s->backward ? blocks - taken - n : n;
        sum_gates(d, s, &(place){ .row = row, .unit = (b + i) * LANES }, rows, together, sums[i * rows]);
    }
    for (int i = 0; i < blocks * rows; i++) {
        place *p = &places[i];
        *p = (place){ .row = row + i % rows, .unit = (b + i / rows) * LANES };
        p->at = p->row * s->state_row + p->unit;
        p->have = (size_t)min64(LANES, d->hidden - p->unit);
        if (has_peepholes(d))
            peep_first(d, s, p, sums[i]);
    }
    pass_first(d, s, sums, blocks * rows);
    for (int i = 0; i < blocks * rows; i++)
        finish(d, s, &places[i], sums[i],
               (T *)s->inputs + places[i].row * s->inputs_row + places[i].unit * count_gates(d));
}

/* Blocks in order or from the last to the first, as many together as fill the buffer of sums, and all rows of the batch
 * for each. The result of a block depends on no other. */
void INGOT_FN(TYPED(cell_step))(const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1)
{
    /* a small batch leaves room in the buffer of sums for several blocks */
    const int most = most_rows(d->kind == INGOT_CELL_GRU ? 2 - s->half : count_gates(d));
    const int together = s->batch <= MAX_ROWS / 2 && s->batch <= most ? MAX_ROWS / (int)max64(1, s->batch) : 1;

    for (int64_t i = b0; i < b1; i += together) {
        const int blocks = (int)min64(together, b1 - i);
        const int64_t b = s->backward ? b0 + b1 - i - blocks : i;
        int64_t strips = ceil_div(s->batch, most);
        for (int64_t row = 0; row < s->batch; strips--) {
            const int rows = (int)ceil_div(s->batch - row, strips);
            run_rows(d, s, row, rows, b, blocks);
            row += rows;
        }
    }
}
