/* pool_loops.h - pools as their definitions say, for one element type T; TYPED(name) adds the type to a name. SUMS:
 * sums are wanted as well (float types). Included once per type. */

static void TYPED(max_plane)(const pool_call *call, int64_t plane)
{
    const ingot_window *v = &call->window;
    const T *x = (const T *)call->x + plane * call->in_plane;
    T *y = (T *)call->y + plane * call->out_plane;
    int64_t *indices = call->indices ? call->indices + plane * call->out_plane : NULL;
    int64_t at[INGOT_MAX_SPATIAL] = { 0 };
    taps t;

    do {
        T best = LOWEST;
        int64_t where = 0, offset;
        for (bool more = first_tap(v, at, &t, &offset), first = true; more; more = next_tap(v, &t, &offset)) {
            if (first || x[offset] > best || IS_NAN(x[offset])) {
                best = x[offset];
                where = offset;
            }
            first = false;
            if (IS_NAN(best))                    /* NaN wins, and the first one stays */
                break;
        }
        *y++ = best;
        if (indices)
            *indices++ = plane * call->in_plane + (call->column_major ? column_major(v, where) : where);
    } while (ingot_window_next(at, v->out, v->rank));
}

#if SUMS
static void TYPED(average_plane)(const pool_call *call, int64_t plane)
{
    const ingot_window *v = &call->window;
    const T *x = (const T *)call->x + plane * call->in_plane;
    T *y = (T *)call->y + plane * call->out_plane;
    int64_t at[INGOT_MAX_SPATIAL] = { 0 };
    taps t;

    do {
        double sum = 0;
        int64_t offset, count = 0;
        for (bool more = first_tap(v, at, &t, &offset); more; more = next_tap(v, &t, &offset), count++)
            sum += (double)x[offset];
        if (call->count_include_pad)
            count = count_padded(v, at);
        *y++ = (T)(count ? sum / (double)count : 0);
    } while (ingot_window_next(at, v->out, v->rank));
}

static void TYPED(lp_plane)(const pool_call *call, int64_t plane)
{
    const ingot_window *v = &call->window;
    const T *x = (const T *)call->x + plane * call->in_plane;
    T *y = (T *)call->y + plane * call->out_plane;
    int64_t at[INGOT_MAX_SPATIAL] = { 0 };
    taps t;

    do {
        double sum = 0;
        int64_t offset;
        for (bool more = first_tap(v, at, &t, &offset); more; more = next_tap(v, &t, &offset)) {
            const double size = fabs((double)x[offset]);
            sum += call->p == 1 ? size : call->p == 2 ? size * size : pow(size, call->p);
        }
        *y++ = (T)(call->p == 1 ? sum : call->p == 2 ? sqrt(sum) : pow(sum, 1 / call->p));
    } while (ingot_window_next(at, v->out, v->rank));
}
#endif
