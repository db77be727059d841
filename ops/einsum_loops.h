/* einsum_loops.h - a product of two operands summed over some labels, by strides, for one element type: T, WIDE (what
 * two T are multiplied in) and TYPED(). */

/* Results [begin, end), counted in the order of s->outer. */
static void TYPED(sum_products)(void *argument, int64_t begin, int64_t end, int thread)
{
    const contraction_call *call = argument;
    const contraction *s = call->step;
    const int last = s->sum.n - 1;
    const int64_t n = s->sum.n ? s->sum.size[last] : 1;
    const int64_t a_step = s->sum.n ? s->sum.a[last] : 0, b_step = s->sum.n ? s->sum.b[last] : 0;
    const T *a = call->a, *b = call->b;
    T *y = call->c;
    walk at, over;

    (void)thread;
    walk_to(&at, &s->outer, s->outer.n, begin);
    for (int64_t i = begin; i < end; i++, walk_on(&at, &s->outer, s->outer.n)) {
        T sum = 0;
        walk_to(&over, &s->sum, last, 0);
        for (int64_t rows = s->sum_rows; rows > 0; rows--, walk_on(&over, &s->sum, last)) {
            const T *pa = a + at.a + over.a, *pb = b + at.b + over.b;
            for (int64_t k = 0; k < n; k++)
                sum = (T)(sum + (WIDE)pa[k * a_step] * (WIDE)pb[k * b_step]);
        }
        y[at.c] = sum;
    }
}
