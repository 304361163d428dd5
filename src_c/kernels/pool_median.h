/* The median of each window's elements that lie in the image, the lower one of two in the middle: a
 * window is sorted by insertion, which is for small ones. A NaN in the window gives NaN. */

FC_SMALL size_t pool_median_scratch(const void *params)
{
    const struct fc_pool *p = params;
    return taken(p->d.k * p->h.k * p->w.k, sizeof(real));
}

/* Of channel 0 of x; `sorted` has room for the window. */
FC_SMALL real pool_median_of(const struct fc_pool *p, const real *x, real *sorted, ptrdiff_t row,
                           ptrdiff_t i)
{
    const struct pool_span depth = pool_window(&p->d, row / p->h.o);
    const struct pool_span rows = pool_window(&p->h, row % p->h.o), cols = pool_window(&p->w, i);
    ptrdiff_t n = 0;
    for (ptrdiff_t d = 0; d < depth.count; d++)
        for (ptrdiff_t r = 0; r < rows.count; r++)
            for (ptrdiff_t s = 0; s < cols.count; s++) {
                const ptrdiff_t z = depth.first + d * p->d.dilation;
                const ptrdiff_t y = z * p->h.n + rows.first + r * p->h.dilation;
                const real value = x[(y * p->w.n + cols.first + s * p->w.dilation) * p->c];
                ptrdiff_t at = n++;
#if FC_BITS != 8
                if (isnan(value))
                    return value;
#endif
                for (; at > 0 && sorted[at - 1] > value; at--)
                    sorted[at] = sorted[at - 1];
                sorted[at] = value;
            }
#if FC_BITS == 8
    return n ? sorted[(n - 1) / 2] : 0;
#else
    return n ? sorted[(n - 1) / 2] : (real)NAN;
#endif
}

static void pool_median(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t first, last;
        const ptrdiff_t plane = pool_unit(p, unit, &first, &last);
        const real *const x = (const real *)p->x + plane * p->d.n * p->h.n * p->w.n * p->c;
        for (ptrdiff_t row = first; row < last; row++)
            for (ptrdiff_t i = 0; i < p->w.o; i++)
                for (ptrdiff_t c = 0; c < p->c; c++)
                    ((real *)p->out)[((plane * p->d.o * p->h.o + row) * p->w.o + i) * p->c + c] =
                        pool_median_of(p, x + c, scratch, row, i);
    }
}
