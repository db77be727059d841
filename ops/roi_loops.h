/* roi_loops.h - RoiAlign and MaxRoiPool for one element type: T, and TYPED() which gives names their ending. */

/* Sample positions along one side of a region: `bins` bins with `grid` samples each. */
static void TYPED(place_samples)(T start, T bin, int64_t bins, int64_t grid, int64_t size, roi_sample *samples)
{
    for (int64_t i = 0; i < bins * grid; i++) {
        roi_sample *s = &samples[i];
        const T at = start + (T)(i / grid) * bin + ((T)(i % grid) + (T)0.5) * bin / (T)grid;
        *s = (roi_sample){ .inside = at >= -1 && at <= (T)size };
        if (!s->inside)
            continue;
        s->low = (int64_t)MAX(at, 0);
        s->high = s->low + 1;
        s->part = (double)(MAX(at, 0) - (T)s->low);
        if (s->low >= size - 1) {
            s->low = s->high = size - 1;
            s->part = 0;
        }
    }
}

/* One bin of one channel. */
static T TYPED(align_bin)(const roi_call *call, const T *x, const roi_sample *rows, const roi_sample *columns,
                          int64_t n_rows, int64_t n_columns)
{
    T result = 0;

    for (int64_t i = 0; i < n_rows; i++) {
        for (int64_t j = 0; j < n_columns; j++) {
            const roi_sample *r = &rows[i], *q = &columns[j];
            const bool inside = r->inside && q->inside;
            const T ly = (T)r->part, lx = (T)q->part, hy = 1 - ly, hx = 1 - lx;
            const T *low = x + r->low * call->width, *high = x + r->high * call->width;
            const T a = inside ? hy * hx * low[q->low] : 0, b = inside ? hy * lx * low[q->high] : 0;
            const T d = inside ? ly * hx * high[q->low] : 0, e = inside ? ly * lx * high[q->high] : 0;
            const T largest = MAX(MAX(a, b), MAX(d, e));
            if (call->max)
                result = i + j == 0 ? largest : MAX(result, largest);
            else
                result += a + b + d + e;
        }
    }
    return call->max ? result : result / (T)MAX(n_rows * n_columns, 1);
}

/* Where region `roi` lies, and how many samples a bin has along each side; (0: height, 1: width). */
static void TYPED(measure_region)(const roi_call *call, int64_t roi, T start[2], T bin[2], T grid[2])
{
    const T *corner = (const T *)call->rois + 4 * roi;
    const T shift = (T)(call->half_pixel ? 0.5 : 0), scale = (T)call->scale;

    for (int d = 0; d < 2; d++) {
        start[d] = corner[1 - d] * scale - shift;
        T size = corner[3 - d] * scale - shift - start[d];
        if (!call->half_pixel)
            size = MAX(size, 1);
        bin[d] = size / (T)call->bins[d];
        grid[d] = call->ratio > 0 ? (T)call->ratio : (T)ceil((double)bin[d]);
    }
}

static void TYPED(align_regions)(void *argument, int64_t begin, int64_t end, int thread)
{
    const roi_call *call = argument;
    roi_sample *samples = call->samples + thread * call->thread_samples;

    for (int64_t roi = begin; roi < end; roi++) {
        T start[2], bin[2], grid[2];
        TYPED(measure_region)(call, roi, start, bin, grid);
        const int64_t rows = grid[0] > 0 ? (int64_t)grid[0] : 0, columns = grid[1] > 0 ? (int64_t)grid[1] : 0;
        roi_sample *across = samples + call->bins[0] * rows;
        TYPED(place_samples)(start[0], bin[0], call->bins[0], rows, call->height, samples);
        TYPED(place_samples)(start[1], bin[1], call->bins[1], columns, call->width, across);
        for (int64_t channel = 0; channel < call->channels; channel++) {
            const T *x =
                (const T *)call->x + (call->batch[roi] * call->channels + channel) * call->height * call->width;
            T *y = (T *)call->y + (roi * call->channels + channel) * call->bins[0] * call->bins[1];
            for (int64_t i = 0; i < call->bins[0]; i++)
                for (int64_t j = 0; j < call->bins[1]; j++)
                    *y++ = TYPED(align_bin)(call, x, samples + i * rows, across + j * columns, rows, columns);
        }
    }
}

/* The most samples that a region needs; negative: more than fit. */
static int64_t TYPED(count_samples)(const roi_call *call, int64_t n_rois)
{
    double most = 0;

    for (int64_t roi = 0; roi < n_rois; roi++) {
        T start[2], bin[2], grid[2];
        TYPED(measure_region)(call, roi, start, bin, grid);
        const double n = (double)grid[0] * (double)call->bins[0] + (double)grid[1] * (double)call->bins[1];
        if (!(grid[0] < MAX_SAMPLES && grid[1] < MAX_SAMPLES && n < MAX_SAMPLES))
            return -1;
        most = MAX(most,
                   MAX((double)grid[0], 0) * (double)call->bins[0] + MAX((double)grid[1], 0) * (double)call->bins[1]);
    }
    return (int64_t)most;
}

/* MaxRoiPool: region `roi` in whole pixels, cut into bins that may share a row or column of pixels. */
static void TYPED(pool_regions)(void *argument, int64_t begin, int64_t end, int thread)
{
    const roi_call *call = argument;
    const int64_t size[2] = { call->height, call->width };

    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const int64_t roi = item / call->channels, channel = item % call->channels;
        const T *corner = (const T *)call->rois + 5 * roi;
        const T *x = (const T *)call->x + ((int64_t)corner[0] * call->channels + channel) * size[0] * size[1];
        T *y = (T *)call->y + item * call->bins[0] * call->bins[1];
        for (int64_t bin = 0; bin < call->bins[0] * call->bins[1]; bin++) {
            const int64_t at[2] = { bin / call->bins[1], bin % call->bins[1] };
            int64_t from[2], to[2];
            for (int d = 0; d < 2; d++) {
                const double start = round((double)corner[2 - d] * call->scale),
                             last = round((double)corner[4 - d] * call->scale);
                const double part = MAX(last - start + 1, 1) / (double)call->bins[d], most = (double)size[d];
                from[d] = (int64_t)MIN(MAX(floor((double)at[d] * part) + start, 0), most);
                to[d] = (int64_t)MIN(MAX(ceil((double)(at[d] + 1) * part) + start, 0), most);
            }
            T largest = 0;
            for (int64_t i = from[0]; i < to[0]; i++)
                for (int64_t j = from[1]; j < to[1]; j++)
                    largest =
                        (i == from[0] && j == from[1]) || x[i * size[1] + j] > largest ? x[i * size[1] + j] : largest;
            y[bin] = largest;
        }
    }
}
