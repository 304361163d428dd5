/* Max and min pooling that also say where each result stands, as an index into the (d, h, w) volume:
 * the first of equals, the last NaN of several (as PyTorch); -1 and what never wins where a window
 * holds no data. */

struct pool_best {
    real value;
    int64_t at;
};

/* Does x replace the best so far? A NaN does. */
FC_INLINE int pool_beats(real x, real best, int pooling)
{
#if FC_BITS == 8
    return pooling == FC_MAX_POOL ? x > best : x < best;
#else
    return isnan(x) || (pooling == FC_MAX_POOL ? x > best : x < best);
#endif
}

/* What a window without data gives. */
FC_INLINE real pool_never(int pooling)
{
#if FC_BITS == 8
    return pooling == FC_MAX_POOL ? 0 : UINT8_MAX;
#else
    return (real)(pooling == FC_MAX_POOL ? -INFINITY : INFINITY);
#endif
}

/* Of one channel of a window. */
static struct pool_best pool_best(const struct fc_pool *p, const real *x, struct pool_span depth,
                                  struct pool_span rows, struct pool_span cols)
{
    const ptrdiff_t dilation = p->w.dilation, c = p->c;
    struct pool_best best = {pool_never(p->pooling), -1};
    for (ptrdiff_t d = 0; d < depth.count; d++)
        for (ptrdiff_t r = 0; r < rows.count; r++) {
            const ptrdiff_t z = depth.first + d * p->d.dilation;
            const ptrdiff_t y = z * p->h.n + rows.first + r * p->h.dilation;
            const ptrdiff_t first = y * p->w.n + cols.first;
            for (ptrdiff_t s = 0; s < cols.count; s++) {
                const ptrdiff_t i = first + s * dilation;
                if (best.at < 0 || pool_beats(x[i * c], best.value, p->pooling))
                    best = (struct pool_best){x[i * c], i};
            }
        }
    return best;
}

static void pool_argmax(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    (void)scratch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t first, last;
        const ptrdiff_t plane = pool_unit(p, unit, &first, &last);
        const real *const x = (const real *)p->x + plane * p->d.n * p->h.n * p->w.n * p->c;
        const int64_t *const starts = p->starts ? (const int64_t *)p->starts + plane * (p->h.o + p->w.o) : NULL;
        for (ptrdiff_t row = first; row < last; row++) {
            const ptrdiff_t y = row % p->h.o;
            const struct pool_span depth = pool_window(&p->d, row / p->h.o);
            struct pool_span rows = pool_window(&p->h, y);
            if (starts)
                rows = (struct pool_span){(ptrdiff_t)starts[y], p->h.k};
            for (ptrdiff_t i = 0; i < p->w.o; i++) {
                const ptrdiff_t at = ((plane * p->d.o * p->h.o + row) * p->w.o + i) * p->c;
                struct pool_span cols = pool_window(&p->w, i);
                if (starts)
                    cols = (struct pool_span){(ptrdiff_t)starts[p->h.o + i], p->w.k};
                for (ptrdiff_t c = 0; c < p->c; c++) {
                    const struct pool_best best = pool_best(p, x + c, depth, rows, cols);
                    ((real *)p->out)[at + c] = best.value;
                    p->indices[at + c] = best.at;
                }
            }
        }
    }
}
