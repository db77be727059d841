/* movement.c - copies between strided boxes. A box is brought to the fewest dimensions first: those of size 1 go,
 * neighbours that lie behind each other in both tensors become one, and an innermost run that is contiguous in both
 * becomes the item. What is left is one of three loops: runs of bytes, single items at a stride, or a transposition in
 * tiles when the elements that are neighbours in the source are not in the destination. */
#include "ops/movement.h"

#include <string.h>

/* How work is cut; none of these changes a result. */
enum {
    GRAIN_BYTES = 64 * 1024, /* of a thread's share at least: a few microseconds */
    LINE = 4096,             /* items of a line at a time */
    FILL_BYTES = 2048,       /* of a repeated item written one by one */
    SHORT = 8,               /* a line so short is not worth an inner loop when there are longer ones */
    TILE = 16                /* rows and columns of a transposition: both sides' lines stay in the first-level cache */
};

/* One copy as the threads see it. The box has at most INGOT_COPY_RANK dimensions; an iteration of the outer ones
 * copies a line or a row of tiles of the inner ones, whose size is the box's innermost dimension. */
typedef struct box_job {
    ingot_copy box; /* steps in bytes */
    const char *from;
    char *to;
    bool tiles;  /* a transposition: outer[n_outer - 1] is the dimension that is contiguous in the source */
    int n_outer; /* dimensions outside of the inner loops, innermost last; that one counts in pieces of `piece` */
    int outer[INGOT_COPY_RANK];
    int64_t piece;
} box_job;

/* Row-major steps in elements: moving one index along dimension d moves steps[d] elements. steps has room for the
 * tensor's rank. */
void ingot_steps(const ingot_tensor *tensor, int64_t *steps)
{
    int64_t step = 1;
    for (int d = tensor->rank; d-- > 0;) {
        steps[d] = step;
        step *= tensor->shape[d];
    }
}

/* A box of typed's elements with a step for each dimension on both sides; 0 in from repeats, negative walks back. */
ingot_copy ingot_copy_box(const ingot_tensor *typed, int rank, const int64_t *shape, const int64_t *from,
                          const int64_t *to)
{
    ingot_copy copy = {.rank = rank, .item_bytes = ingot_dtype_size_bytes(typed->dtype)};
    for (int d = 0; d < rank; d++) {
        copy.shape[d] = shape[d];
        copy.from_step[d] = from[d];
        copy.to_step[d] = to[d];
    }
    return copy;
}

/* Steps become bytes, dimensions as few as can be. False when there is nothing to copy. */
static bool simplify(ingot_copy *box)
{
    const int64_t item = (int64_t)box->item_bytes;
    int rank = 0;
    for (int d = 0; d < box->rank; d++) {
        if (box->shape[d] <= 0)
            return false;
        if (box->shape[d] == 1)
            continue;
        const int64_t n = box->shape[d], from = box->from_step[d] * item, to = box->to_step[d] * item;
        /* A dimension continues the one before it when both sides reach the next index by walking through all of it. */
        if (rank > 0 && box->from_step[rank - 1] == from * n && box->to_step[rank - 1] == to * n)
            box->shape[rank - 1] *= n;
        else
            box->shape[rank++] = n;
        box->from_step[rank - 1] = from;
        box->to_step[rank - 1] = to;
    }
    if (rank > 0 && box->from_step[rank - 1] == item && box->to_step[rank - 1] == item)
        box->item_bytes *= (size_t)box->shape[--rank];
    box->rank = rank;
    return true;
}

/* n copies of an item of at most 16 bytes: the first stretch by hand, the rest as copies of that, since memcpy of a
 * long stretch is faster than storing items. from may lie in what is written. */
static inline __attribute__((always_inline)) void repeat_item(char *to, const char *from, int64_t n, const size_t item)
{
    const int64_t first = MIN(n, FILL_BYTES / (int64_t)item), whole = first * (int64_t)item, all = n * (int64_t)item;
    char value[16];
    memcpy(value, from, item);
    for (int64_t i = 0; i < first; i++)
        memcpy(to + i * (int64_t)item, value, item);
    for (int64_t done = whole; done < all; done += whole)
        memcpy(to + done, to, (size_t)MIN(whole, all - done));
}

/* With a constant item size the compiler turns each memcpy into one load and one store. */
static inline __attribute__((always_inline)) void copy_line(char *to, const char *from, int64_t n, int64_t to_step,
                                                            int64_t from_step, const size_t item)
{
    if (from_step == 0 && to_step == (int64_t)item)
        repeat_item(to, from, n, item);
    else if (to_step == (int64_t)item)
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)item, from + i * from_step, item);
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * to_step, from + i * from_step, item);
}

/* n items between lines at a stride, in bytes. A constant item size lets the compiler turn memcpy into one move. */
static void copy_items(char *to, const char *from, int64_t n, int64_t to_step, int64_t from_step, size_t item)
{
    switch (item) {
    case 1: copy_line(to, from, n, to_step, from_step, 1); break;
    case 2: copy_line(to, from, n, to_step, from_step, 2); break;
    case 4: copy_line(to, from, n, to_step, from_step, 4); break;
    case 8: copy_line(to, from, n, to_step, from_step, 8); break;
    case 16: copy_line(to, from, n, to_step, from_step, 16); break;
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * to_step, from + i * from_step, item);
    }
}

/* Four 32-bit items, which compilers keep in one vector register. */
typedef uint32_t quad __attribute__((vector_size(16)));

/* memcpy, as addresses need no alignment; it becomes one load or store. */
static inline quad load_quad(const char *from)
{
    quad q;
    memcpy(&q, from, sizeof q);
    return q;
}

static inline void store_quad(char *to, quad q) { memcpy(to, &q, sizeof q); }

/* 4 x 4 items of 4 bytes, in registers. */
static inline void transpose_quads(char *to, const char *from, int64_t to_step, int64_t from_step)
{
    const quad a = load_quad(from), b = load_quad(from + from_step), c = load_quad(from + 2 * from_step);
    const quad d = load_quad(from + 3 * from_step);
    const quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store_quad(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
    store_quad(to + to_step, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
    store_quad(to + 2 * to_step, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
    store_quad(to + 3 * to_step, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

/* Transposes a tile: both sides are then walked within cache lines. Four-byte items go in 4 x 4 blocks, what is
 * left over one by one. */
static inline __attribute__((always_inline)) void copy_tile(char *to, const char *from, int64_t rows, int64_t columns,
                                                            int64_t to_step, int64_t from_step, const size_t item)
{
    int64_t whole_rows = 0, whole_columns = 0;
    if (item == 4) {
        whole_rows = rows & ~INT64_C(3);
        whole_columns = columns & ~INT64_C(3);
        for (int64_t r = 0; r < whole_rows; r += 4)
            for (int64_t k = 0; k < whole_columns; k += 4)
                transpose_quads(to + r * to_step + k * 4, from + k * from_step + r * 4, to_step, from_step);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = r < whole_rows ? whole_columns : 0; k < columns; k++)
            memcpy(to + r * to_step + k * (int64_t)item, from + k * from_step + r * (int64_t)item, item);
}

/* rows x columns of a transposition: a destination row is contiguous, a source column is. */
static void transpose_tiles(char *to, const char *from, int64_t rows, int64_t columns, int64_t to_step,
                            int64_t from_step, size_t item)
{
    for (int64_t k = 0; k < columns; k += TILE) {
        const int64_t width = MIN(TILE, columns - k);
        char *const t = to + k * (int64_t)item;
        const char *const f = from + k * from_step;
        switch (item) {
        case 1: copy_tile(t, f, rows, width, to_step, from_step, 1); break;
        case 2: copy_tile(t, f, rows, width, to_step, from_step, 2); break;
        case 4: copy_tile(t, f, rows, width, to_step, from_step, 4); break;
        case 8: copy_tile(t, f, rows, width, to_step, from_step, 8); break;
        default: copy_tile(t, f, rows, width, to_step, from_step, 16);
        }
    }
}

/* Task over outer iterations [begin, end). The last of the outer dimensions counts in pieces; its last piece may be
 * shorter. */
static void copy_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const box_job *job = argument;
    const ingot_copy *box = &job->box;
    const int inner = box->rank - 1, n_outer = job->n_outer, cut = job->outer[n_outer - 1];
    int64_t shape[INGOT_COPY_RANK], from_step[INGOT_COPY_RANK], to_step[INGOT_COPY_RANK], index[INGOT_COPY_RANK];
    (void)thread;
    for (int i = 0; i < n_outer; i++) {
        const int64_t by = i == n_outer - 1 ? job->piece : 1;
        shape[i] = (box->shape[job->outer[i]] + by - 1) / by;
        from_step[i] = box->from_step[job->outer[i]] * by;
        to_step[i] = box->to_step[job->outer[i]] * by;
    }
    /* Then from iteration to iteration, without dividing. */
    int64_t from = ingot_locate(n_outer, shape, from_step, begin, index);
    for (int64_t number = begin; number < end; number++) {
        const int64_t n = MIN(job->piece, box->shape[cut] - index[n_outer - 1] * job->piece);
        int64_t to = 0;
        for (int i = 0; i < n_outer; i++)
            to += index[i] * to_step[i];
        if (job->tiles)
            transpose_tiles(job->to + to, job->from + from, n, box->shape[inner], box->to_step[cut],
                            box->from_step[inner], box->item_bytes);
        else
            copy_items(job->to + to, job->from + from, n, box->to_step[inner], box->from_step[inner], box->item_bytes);
        ingot_advance(n_outer, shape, from_step, index, &from);
    }
}

/* The dimension whose elements are neighbours in the source, when the innermost one's are only in the destination; -1
 * where no transposition helps: items that are no power of two up to 16 bytes, repeated items, or a side too short to
 * make blocks. */
static int find_across(const ingot_copy *box)
{
    const int64_t item = (int64_t)box->item_bytes;
    const int inner = box->rank - 1;
    if (item > 16 || (item & (item - 1)) || box->to_step[inner] != item || box->from_step[inner] == 0)
        return -1;
    for (int d = 0; d < inner; d++)
        if (box->from_step[d] == item && box->shape[d] >= 4 && box->shape[inner] >= 4)
            return d;
    return -1;
}

/* Make the longest dimension the inner loop where the innermost is short and no tiles will be used. The order of
 * dimensions does not matter to a copy, as long as both sides agree. */
static void lengthen_inner(ingot_copy *box)
{
    const int inner = box->rank - 1;
    int longest = inner;
    for (int d = 0; d < inner; d++)
        if (box->shape[d] > box->shape[longest])
            longest = d;
    if (box->shape[inner] >= SHORT || box->shape[longest] < SHORT)
        return;
    int64_t *const members[] = {box->shape, box->from_step, box->to_step};
    for (int m = 0; m < 3; m++) {
        const int64_t moved = members[m][longest];
        members[m][longest] = members[m][inner];
        members[m][inner] = moved;
    }
}

/* Few long runs: share out each of them among the threads, one after the other. */
static void copy_long_runs(ingot_team *team, const ingot_copy *box, const char *from, char *to)
{
    int64_t index[INGOT_COPY_RANK] = {0}, n = 1, source = 0;
    for (int d = 0; d < box->rank; d++)
        n *= box->shape[d];
    for (int64_t i = 0; i < n; i++) {
        int64_t target = 0;
        for (int d = 0; d < box->rank; d++)
            target += index[d] * box->to_step[d];
        ingot_copy_bytes(team, to + target, from + source, box->item_bytes);
        ingot_advance(box->rank, box->shape, box->from_step, index, &source);
    }
}

/* Copies the box with the fewest dimensions it can be written with: long runs by memcpy, a transpose by tiles,
 * everything else in lines. from and to must not overlap; a box with a size of 0 copies nothing. */
void ingot_copy_run(ingot_team *team, const ingot_copy *copy, const void *from, void *to)
{
    box_job job = {.box = *copy, .from = from, .to = to};
    ingot_copy *box = &job.box;
    if (!simplify(box))
        return;
    /* Little but long runs: bytes are shared out instead of iterations. */
    if (box->rank == 0 || box->item_bytes >= 4 * GRAIN_BYTES) {
        copy_long_runs(team, box, from, to);
        return;
    }
    const int inner = box->rank - 1, across = find_across(box), cut = across >= 0 ? across : inner;
    if (across < 0)
        lengthen_inner(box);
    /* Outer dimensions: all but the inner one, the one that is cut into pieces last. */
    job.tiles = across >= 0;
    job.piece = job.tiles ? TILE : LINE;
    /* Tasks are outer iterations; each does at least GRAIN_BYTES, if there are that many. */
    const int64_t piece = MIN(job.piece, box->shape[cut]);
    int64_t n = (box->shape[cut] + job.piece - 1) / job.piece;
    for (int d = 0; d < inner; d++)
        if (d != across) {
            job.outer[job.n_outer++] = d;
            n *= box->shape[d];
        }
    job.outer[job.n_outer++] = cut;
    const int64_t bytes = (int64_t)box->item_bytes * piece * (job.tiles ? box->shape[inner] : 1);
    ingot_parallel(team, n, MAX(GRAIN_BYTES / MAX(bytes, 1), 1), copy_part, &job);
}

/* One memcpy that the threads share. */
typedef struct bytes_job {
    char *to;
    const char *from;
    size_t size_bytes;
} bytes_job;

/* Task over grains of GRAIN_BYTES, the last one shorter. */
static void copy_bytes_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const bytes_job *job = argument;
    const size_t first = (size_t)begin * GRAIN_BYTES, last = MIN((size_t)end * GRAIN_BYTES, job->size_bytes);
    (void)thread;
    memcpy(job->to + first, job->from + first, last - first);
}

/* memcpy on every thread; NULL is fine when there is nothing to copy. */
void ingot_copy_bytes(ingot_team *team, void *to, const void *from, size_t size_bytes)
{
    bytes_job job = {to, from, size_bytes};
    if (size_bytes)
        ingot_parallel(team, (int64_t)((size_bytes + GRAIN_BYTES - 1) / GRAIN_BYTES), 1, copy_bytes_part, &job);
}

/* Repeats one item n times: a copy whose source has step 0. */
void ingot_fill(ingot_team *team, void *to, int64_t n, const void *item, size_t item_bytes)
{
    const ingot_copy fill = {.rank = 1, .item_bytes = item_bytes, .shape = {n}, .from_step = {0}, .to_step = {1}};
    ingot_copy_run(team, &fill, item, to);
}

/* What counts as zero: an empty string for text, else all bits 0. */
const void *ingot_zero_of(ingot_dtype dtype)
{
    static const char zeros[16];
    static const ingot_string empty = {"", 0};
    return dtype == INGOT_STRING ? (const void *)&empty : zeros;
}

/* Zeros, or empty strings, into all of a tensor. */
void ingot_fill_zero(ingot_team *team, ingot_tensor *tensor)
{
    ingot_fill(team, tensor->data, ingot_count(tensor), ingot_zero_of(tensor->dtype),
               ingot_dtype_size_bytes(tensor->dtype));
}

/* For operators that only rename the shape (Reshape, Flatten, Identity and the like): nothing to do when the engine
 * let both sides share memory. */
ingot_status ingot_run_view(ingot_op_ctx *c)
{
    if (c->out[0]->data != c->in[0]->data)
        ingot_copy_bytes(c->team, c->out[0]->data, c->in[0]->data, ingot_storage_bytes(c->out[0]));
    return INGOT_OK;
}
