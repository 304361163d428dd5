/* Elements to where an index says, as the gradient of a maximum and unpooling do. A unit is a plane
 * (in channels-last layouts a sample): what adds to one element does so in the order of the
 * outputs. */

/* Zeros, and each value where its index says: the last of several, or their sum. */
FC_INLINE void pool_scatter_plane(const real *x, const int64_t *indices, ptrdiff_t outputs,
                                  ptrdiff_t c, real *out, const int accumulate)
{
    for (ptrdiff_t i = 0; i < outputs; i++, x += c, indices += c)
        for (ptrdiff_t j = 0; j < c; j++)
            if (indices[j] >= 0) {
                real *const to = out + (ptrdiff_t)indices[j] * c + j;
                *to = (real)(accumulate ? *to + x[j] : x[j]);
            }
}

static void pool_scatter(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t n = p->d.n * p->h.n * p->w.n * p->c, outputs = p->d.o * p->h.o * p->w.o;
    (void)scratch;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real *const x = (const real *)p->x + plane * outputs * p->c;
        const int64_t *const indices = p->indices + plane * outputs * p->c;
        real *const out = (real *)p->out + plane * n;
        memset(out, 0, (size_t)n * sizeof(real));
        if (!p->accumulate)
            pool_scatter_plane(x, indices, outputs, p->c, out, 0);
        else if (p->c > 1)
            pool_scatter_plane(x, indices, outputs, p->c, out, 1);
        else
            pool_scatter_plane(x, indices, outputs, 1, out, 1);
    }
}
