/* softmax_loops.h - Softmax, LogSoftmax and Hardmax of one strip, for one element type T; TYPED(name) adds the type to
 * a name. The n elements of a strip are `step` apart. Included once per type. */

static void TYPED(softmax_strip)(const softmax_call *call, int64_t at)
{
    const T *x = (const T *)call->x + at;
    T *y = (T *)call->y + at;
    const int64_t n = call->n, step = call->inner;
    double most = -INFINITY, sum = 0;
    int64_t first = 0;

    for (int64_t i = 0; i < n; i++)
        if ((double)x[i * step] > most) {
            most = (double)x[i * step];
            first = i;
        }
    if (call->kind == HARDMAX) {
        for (int64_t i = 0; i < n; i++)
            y[i * step] = i == first;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i * step] - most);
    if (call->kind == LOG_SOFTMAX)
        for (int64_t i = 0; i < n; i++)
            y[i * step] = (T)((double)x[i * step] - most - log(sum));
    else
        for (int64_t i = 0; i < n; i++)
            y[i * step] = (T)(exp((double)x[i * step] - most) / sum);
}
