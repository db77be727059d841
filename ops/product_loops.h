/* product_loops.h - the matrix product as its definition says, for one element type T; TYPED(name) adds the type to a
 * name, and FACTOR is what alpha and beta pass through on the way to T. Included once per type. */

/* Rows [begin, end) of C, counted through all matrices. */
static void TYPED(product_rows)(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_product *p = argument;
    const T alpha = (T)(FACTOR)p->alpha, beta = (T)(FACTOR)p->beta;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / p->m, row = i % p->m;
        const T *a = (const T *)p->a + (p->a_at ? p->a_at[matrix] : 0) + row * p->a_row;
        const T *b = (const T *)p->b + (p->b_at ? p->b_at[matrix] : 0);
        const T *d = p->d ? (const T *)p->d + row * p->d_row : NULL;
        T *c = (T *)p->c + i * p->n;

        for (int64_t j = 0; j < p->n; j++)
            c[j] = 0;
        for (int64_t l = 0; l < p->k; l++) {
            const T x = a[l * p->a_col];
            for (int64_t j = 0; j < p->n; j++)
                c[j] += x * b[l * p->b_row + j * p->b_col];
        }
        if (p->alpha != 1.0f)
            for (int64_t j = 0; j < p->n; j++)
                c[j] *= alpha;
        for (int64_t j = 0; j < p->n && d; j++)
            c[j] += beta * d[j * p->d_col];
    }
}
