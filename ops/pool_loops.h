/* pool_loops.h - pools as their definitions say, for one element type T; TYPED(name) adds the type to a name. SUMS:
 * sums are wanted as well (float types). Included once per type. */

static void TYPED(max_clear)(const tap_row *r)
{
    T *y = r->y;

    for (int64_t i = 0; i < r->n; i++)
        y[i] = LOWEST;
    for (int64_t i = 0; r->where && i < r->n; i++)
        r->where[i] = -1;
}

/* NaN wins, and the first of equals stays. */
static void TYPED(max_tap)(const tap_row *r)
{
    const int64_t n = r->n, step = r->step;
    const T *x = r->x;
    T *restrict y = r->y;

    for (int64_t k = 0; k < r->taps; k++, x += r->tap_step)
        for (int64_t i = 0; i < n; i++) {
            const T value = x[i * step];
            const bool above = !(value <= y[i]), known = !IS_NAN(y[i]);
            y[i] = (above & known) ? value : y[i];      /* without a branch, which would be guessed wrong */
        }
}

/* The same, and where it was. */
static void TYPED(place_tap)(const tap_row *r)
{
    const int64_t n = r->n, step = r->step;
    int64_t *restrict where = r->where, offset = r->offset;
    const T *x = r->x;
    T *restrict y = r->y;

    for (int64_t k = 0; k < r->taps; k++, x += r->tap_step, offset += r->tap_step)
        for (int64_t i = 0; i < n; i++) {
            const T value = x[i * step];
            if (where[i] < 0 || value > y[i] || (IS_NAN(value) && !IS_NAN(y[i]))) {
                y[i] = value;
                where[i] = offset + i * step;
            }
        }
}

static const pool_loops TYPED(max) = { TYPED(max_clear), TYPED(max_tap), NULL, sizeof(T) };
static const pool_loops TYPED(place) = { TYPED(max_clear), TYPED(place_tap), NULL, sizeof(T) };

#if SUMS
static void TYPED(sum_tap)(const tap_row *r)
{
    const int64_t n = r->n, step = r->step;
    const T *x = r->x;
    double *restrict sums = r->sums;

    for (int64_t k = 0; k < r->taps; k++, x += r->tap_step)
        for (int64_t i = 0; i < n; i++)
            sums[i] += (double)x[i * step];
}

static void TYPED(average_store)(const tap_row *r)
{
    T *y = r->y;

    for (int64_t i = 0; i < r->n; i++) {
        const double count = r->outer_count * (double)r->counts[i];
        y[i] = (T)(count > 0 ? r->sums[i] / count : 0);
    }
}

static void TYPED(lp_tap)(const tap_row *r)
{
    const int64_t n = r->n, step = r->step;
    const T *x = r->x;
    const double p = r->p;
    double *restrict sums = r->sums;

    for (int64_t k = 0; k < r->taps; k++, x += r->tap_step)
        for (int64_t i = 0; i < n; i++) {
            const double size = fabs((double)x[i * step]);
            sums[i] += p == 1 ? size : p == 2 ? size * size : pow(size, p);
        }
}

static void TYPED(lp_store)(const tap_row *r)
{
    T *y = r->y;

    for (int64_t i = 0; i < r->n; i++)
        y[i] = (T)(r->p == 1 ? r->sums[i] : r->p == 2 ? sqrt(r->sums[i]) : pow(r->sums[i], 1 / r->p));
}

static const pool_loops TYPED(average) = { clear_sums, TYPED(sum_tap), TYPED(average_store), sizeof(T) };
static const pool_loops TYPED(lp) = { clear_sums, TYPED(lp_tap), TYPED(lp_store), sizeof(T) };
#endif
