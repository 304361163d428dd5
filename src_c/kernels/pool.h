/* Max and average pooling. For each output row, the rows of its windows are reduced to one line
 * (whole vectors, whatever the layout), then the line along the row: with pixels in the lanes for
 * NCHW (c = 1), with channels in the lanes for NHWC. Bound by reading the input once. */

/* What padding holds: never the largest, nothing to a sum. */
FC_INLINE real pool_identity(const int max)
{
#if FC_BITS == 8
    (void)max;
    return 0;
#else
    return max ? (real)-INFINITY : 0;
#endif
}

FC_INLINE vec pool_add(vec acc, vec x, const int max)
{
#if FC_BITS == 8
    (void)max;
    return v_max(acc, x);
#else
    return max ? v_max(acc, x) : v_add(acc, x);
#endif
}

FC_INLINE real pool_add_one(real acc, real x, const int max)
{
    return max ? (exceeds(x, acc) ? x : acc) : (real)(acc + x);
}

/* Window positions i * dilation, i < k, that land in [low, high) when the window starts at `start`:
 * [*from, *to). */
FC_INLINE void pool_span(ptrdiff_t start, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t low,
                         ptrdiff_t high, ptrdiff_t *from, ptrdiff_t *to)
{
    *from = FC_MIN(k, start < low ? ceil_div(low - start, dilation) : 0);
    *to = FC_MAX(*from, FC_MIN(k, start < high ? ceil_div(high - start, dilation) : 0));
}

/* How many of them the average divides by. */
static ptrdiff_t pool_count(const struct fc_pool2d *p, ptrdiff_t start, ptrdiff_t k,
                            ptrdiff_t dilation, ptrdiff_t before, ptrdiff_t n, ptrdiff_t after)
{
    ptrdiff_t from, to;
    if (p->count_include_pad)
        pool_span(start, k, dilation, -before, n + after, &from, &to);
    else
        pool_span(start, k, dilation, 0, n, &from, &to);
    return to - from;
}

/* line[i] = the reduction of `rows` input rows, step elements apart. */
FC_INLINE void pool_down(real *line, const real *x, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t count,
                         const int max)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec acc = v_load(x + i);
        for (ptrdiff_t r = 1; r < rows; r++)
            acc = pool_add(acc, v_load(x + r * step + i), max);
        v_store(line + i, acc);
    }
    if (i < count) {
        vec acc = v_load_n(x + i, count - i);
        for (ptrdiff_t r = 1; r < rows; r++)
            acc = pool_add(acc, v_load_n(x + r * step + i, count - i), max);
        v_store_n(line + i, acc, count - i);
    }
}

/* What one output row needs: the padded line, and for an average the divisors. */
struct pool_row {
    const real *line, *divisor; /* divisor[x] * height is what output x divides by */
    real height;
    real *out;
};

FC_INLINE vec pool_finish(const struct pool_row *row, vec acc, vec divisor, const int max)
{
#if FC_BITS != 8
    if (!max)
        return v_div(acc, v_mul(v_set1(row->height), divisor));
#endif
    (void)row, (void)divisor, (void)max;
    return acc;
}

/* Pixels in the lanes; stride 1 or 2. */
FC_INLINE void pool_along(const struct pool_row *row, ptrdiff_t ow, ptrdiff_t kw,
                          ptrdiff_t dilation, const int stride, const int max)
{
    for (ptrdiff_t x = 0; x < ow; x += LANES) {
        const real *const at = row->line + x * stride;
        vec acc = v_set1(pool_identity(max));
        for (ptrdiff_t s = 0; s < kw; s++) {
            const vec first = v_load(at + s * dilation);
            const vec pixels =
                stride == 1 ? first : v_even(first, v_load(at + s * dilation + LANES));
            acc = s == 0 ? pixels : pool_add(acc, pixels, max);
        }
        acc = pool_finish(row, acc, max ? acc : v_load(row->divisor + x), max);
        if (ow - x >= LANES)
            v_store(row->out + x, acc);
        else
            v_store_n(row->out + x, acc, ow - x);
    }
}

/* Pixels one by one; any stride. */
FC_INLINE void pool_along_any(const struct pool_row *row, const struct fc_pool2d *p, const int max)
{
    for (ptrdiff_t x = 0; x < p->ow; x++) {
        const real *const at = row->line + x * p->stride_w;
        real acc = at[0];
        for (ptrdiff_t s = 1; s < p->kw; s++)
            acc = pool_add_one(acc, at[s * p->dilation_w], max);
        row->out[x] = max ? acc : (real)(acc / (real)(row->height * row->divisor[x]));
    }
}

/* Channels in the lanes. */
FC_INLINE void pool_along_channels(const struct pool_row *row, const struct fc_pool2d *p,
                                   const int max)
{
    for (ptrdiff_t x = 0; x < p->ow; x++) {
        const real *const at = row->line + x * p->stride_w * p->c;
        const vec divisor = v_set1(max ? 0 : row->divisor[x]);
        for (ptrdiff_t c = 0; c < p->c; c += LANES) {
            vec acc = v_load(at + c);
            for (ptrdiff_t s = 1; s < p->kw; s++)
                acc = pool_add(acc, v_load(at + s * p->dilation_w * p->c + c), max);
            acc = pool_finish(row, acc, divisor, max);
            if (p->c - c >= LANES)
                v_store(row->out + x * p->c + c, acc);
            else
                v_store_n(row->out + x * p->c + c, acc, p->c - c);
        }
    }
}

static ptrdiff_t pool_units(const void *params)
{
    const struct fc_pool2d *p = params;
    return p->planes * ceil_div(p->oh, p->block_rows);
}

/* Pixels of the line, from the first window's first to the last window's last. */
FC_INLINE ptrdiff_t pool_line(const struct fc_pool2d *p)
{
    const ptrdiff_t seen = (p->ow - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1;
    return FC_MAX(seen, p->left + p->w);
}

static size_t pool_scratch(const void *params)
{
    const struct fc_pool2d *p = params;
    /* Whole vectors are read past the last window: two of them with stride 2. */
    return taken(pool_line(p) * p->c + 3 * LANES, sizeof(real)) + taken(p->ow + LANES, sizeof(real));
}

FC_INLINE void pool_output_row(const struct fc_pool2d *p, const real *x, ptrdiff_t y, real *line,
                               struct pool_row *row, const int max)
{
    const ptrdiff_t start = y * p->stride_h - p->top, count = p->w * p->c;
    ptrdiff_t from, to;
    real *const inside = line + p->left * p->c;

    pool_span(start, p->kh, p->dilation_h, 0, p->h, &from, &to);
    if (from == to)
        for (ptrdiff_t i = 0; i < count; i++)
            inside[i] = pool_identity(max);
    else if (to - from == 2)
        pool_down(inside, x + (start + from * p->dilation_h) * count, p->dilation_h * count, 2,
                  count, max);
    else
        pool_down(inside, x + (start + from * p->dilation_h) * count, p->dilation_h * count,
                  to - from, count, max);

    if (p->divisor != 0)
        row->height = (real)p->divisor;
    else
        row->height = (real)pool_count(p, start, p->kh, p->dilation_h, p->top, p->h, p->bottom);
    if (p->c > 1)
        pool_along_channels(row, p, max);
    else if (p->stride_w == 2 && p->kw == 2 && p->dilation_w == 1)
        pool_along(row, p->ow, 2, 1, 2, max);
    else if (p->stride_w == 2)
        pool_along(row, p->ow, p->kw, p->dilation_w, 2, max);
    else if (p->stride_w == 1)
        pool_along(row, p->ow, p->kw, p->dilation_w, 1, max);
    else
        pool_along_any(row, p, max);
}

FC_INLINE void pool_run(const struct fc_pool2d *p, ptrdiff_t begin, ptrdiff_t end, char *scratch,
                        const int max)
{
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows), used = pool_line(p) * p->c;
    real *const line = take(&scratch, used + 3 * LANES, sizeof(real));
    real *const divisor = (real *)scratch;
    struct pool_row row = {line, divisor, 1, NULL};

    for (ptrdiff_t i = 0; i < used + 3 * LANES; i++)
        line[i] = pool_identity(max);
    for (ptrdiff_t i = 0; i < p->ow + LANES; i++)
        divisor[i] = i >= p->ow || p->divisor != 0
                         ? 1
                         : (real)pool_count(p, i * p->stride_w - p->left, p->kw, p->dilation_w,
                                            p->left, p->w, p->right);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t plane = unit / blocks, y0 = unit % blocks * p->block_rows;
        const real *const x = (const real *)p->x + plane * p->h * p->w * p->c;
        for (ptrdiff_t y = y0; y < FC_MIN(y0 + p->block_rows, p->oh); y++) {
            row.out = (real *)p->out + (plane * p->oh + y) * p->ow * p->c;
            pool_output_row(p, x, y, line, &row, max);
        }
    }
}

static void pool(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool2d *p = params;
#if FC_BITS != 8
    if (p->pooling == FC_AVG_POOL) {
        pool_run(p, begin, end, scratch, 0);
        return;
    }
#endif
    pool_run(p, begin, end, scratch, 1);
}
