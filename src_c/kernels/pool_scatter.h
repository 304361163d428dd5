/* Elements to where an index says, as the gradient of a maximum and unpooling do. A unit is a plane (in
 * channels-last layouts a sample): what adds to one element does so in the order of the outputs. */

/* Zeros, and each value where its index says: the last of several, or their sum. */
static void pool_scatter(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t c = p->c, n = p->d.n * p->h.n * p->w.n * c;
    const ptrdiff_t outputs = p->d.o * p->h.o * p->w.o;
    const int accumulate = p->accumulate;
    (void)scratch;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real *x = (const real *)p->x + plane * outputs * c;
        const int64_t *indices = p->indices + plane * outputs * c;
        real *const out = (real *)p->out + plane * n;
        memset(out, 0, (size_t)n * sizeof(real));
        for (ptrdiff_t i = 0; i < outputs; i++, x += c, indices += c)
            for (ptrdiff_t j = 0; j < c; j++) {
                real *const to = out + (ptrdiff_t)indices[j] * c + j;
                if (indices[j] < 0)
                    continue;
                *to = (real)(accumulate ? *to + x[j] : x[j]);
            }
    }
}
