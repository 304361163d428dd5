/* The gradient of an average. A unit is a plane (in channels-last layouts a sample), so what adds
 * to one element does so in the order of the outputs, whatever the number of threads. */

#if FC_BITS != 8
/* Each row of outputs is spread along a line, which is then added to every row of its windows. */
FC_SMALL size_t pool_spread_scratch(const void *params)
{
    const struct fc_pool *p = params;
    return taken(p->w.n * p->c + LANES, sizeof(real)) + taken(p->w.o, sizeof(real));
}

/* The windows of one row, of which `x` holds the outputs. The line has room for whole vectors. */
static void pool_spread_row(const struct fc_pool *p, const real *x, real height, const real *widths,
                            real *line)
{
    const ptrdiff_t c = p->c, step = p->w.dilation * c;
    for (ptrdiff_t i = 0; i < p->w.n * c; i += LANES)
        v_store(line + i, v_set1(0));
    for (ptrdiff_t i = 0; i < p->w.o; i++, x += c) {
        const struct pool_span taps = pool_window(&p->w, i);
        const real divisor = height * widths[i];
        if (c == 1) {
            real *to = line + taps.first;
            const real part = x[0] / divisor;
            for (ptrdiff_t s = 0; s < taps.count; s++, to += step)
                *to += part;
            continue;
        }
        for (ptrdiff_t j = 0; j < c && taps.count > 0; j += LANES) {
            const vec part = v_div(c - j >= LANES ? v_load(x + j) : v_load_n(x + j, c - j),
                                   v_set1(divisor));
            real *to = line + taps.first * c + j;
            for (ptrdiff_t s = 0; s < taps.count; s++, to += step)
                v_store(to, v_add(v_load(to), part)); /* of spare lanes zeros */
        }
    }
}

FC_INLINE void pool_add(real *to, const real *line, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_add(v_load(to + i), v_load(line + i)));
    if (i < n)
        v_store_n(to + i, v_add(v_load_n(to + i, n - i), v_load(line + i)), n - i);
}

static void pool_spread(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *p = params;
    const ptrdiff_t width = p->w.n * p->c, n = p->d.n * p->h.n * width, rows = p->d.o * p->h.o;
    char *area = scratch;
    real *const line = take(&area, width + LANES, sizeof(real));
    real *const widths = take(&area, p->w.o, sizeof(real));
    for (ptrdiff_t i = 0; i < p->w.o; i++)
        widths[i] = pool_width(p, i);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        real *const out = (real *)p->out + plane * n;
        memset(out, 0, (size_t)n * sizeof(real));
        for (ptrdiff_t row = 0; row < rows; row++) {
            const struct pool_span depth = pool_window(&p->d, row / p->h.o);
            const struct pool_span lines = pool_window(&p->h, row % p->h.o);
            pool_spread_row(p, (const real *)p->x + (plane * rows + row) * p->w.o * p->c,
                            pool_height(p, row / p->h.o, row % p->h.o), widths, line);
            for (ptrdiff_t d = 0; d < depth.count; d++)
                for (ptrdiff_t r = 0; r < lines.count; r++) {
                    const ptrdiff_t z = depth.first + d * p->d.dilation;
                    const ptrdiff_t y = z * p->h.n + lines.first + r * p->h.dilation;
                    pool_add(out + y * width, line, width);
                }
        }
    }
}
#endif
