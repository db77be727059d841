/* rotary_loops.h - RotaryEmbedding for one element type: T, and TYPED() which gives names their ending. */

/* Turns pairs (a, b) by their angle; numbers past the rotary part are copied. */
static void TYPED(turn_head)(const rotary *r, const T *x, const T *cosine, const T *sine, T *y)
{
    const int64_t n = r->pairs, apart = r->interleaved ? 1 : n, step = r->interleaved ? 2 : 1;

    for (int64_t i = 0; i < n; i++) {
        const T a = x[i * step], b = x[i * step + apart];
        y[i * step] = cosine[i] * a - sine[i] * b;
        y[i * step + apart] = sine[i] * a + cosine[i] * b;
    }
    for (int64_t i = 2 * n; i < r->depth; i++)
        y[i] = x[i];
}

/* Task over places [begin, end), counted through all sequences: one row of angles serves all heads of a place. */
static void TYPED(turn_places)(void *argument, int64_t begin, int64_t end, int thread)
{
    const rotary *r = argument;

    (void)thread;
    for (int64_t place = begin; place < end; place++) {
        const int64_t angle = (r->positions ? r->positions[place] : place) * r->pairs;
        const int64_t at = place / r->length * r->batch_step + place % r->length * r->row_step;
        for (int64_t head = 0; head < r->heads; head++)
            TYPED(turn_head)(r, (const T *)r->x + at + head * r->head_step, (const T *)r->cosine + angle,
                             (const T *)r->sine + angle, (T *)r->y + at + head * r->head_step);
    }
}
