/* Max and average pooling. NCHW has pixels in the lanes, NHWC channels; windows that reach over an
 * edge, and strides above 2 in NCHW, go one by one. Every output reduces the columns of its window,
 * each from top to bottom, from left to right. Bound by reading the input once. */

#define POOL_AHEAD (8192 / (ptrdiff_t)sizeof(real)) /* best of 1 to 16 KB, from memory */

/* What a window without data gives: never the largest, nothing to a sum. */
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

/* Of the window's positions start + i * dilation, i < k: those in [low, high), [*from, *to). */
FC_INLINE void pool_span(ptrdiff_t start, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t low,
                         ptrdiff_t high, ptrdiff_t *from, ptrdiff_t *to)
{
    *from = 0;
    *to = k;
    if (start < low)
        *from = FC_MIN(k, ceil_div(low - start, dilation));
    if (start + (k - 1) * dilation >= high)
        *to = FC_MAX(*from, start < high ? ceil_div(high - start, dilation) : 0);
}

/* How many of them an average counts. */
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

/* The windows of one row of outputs. */
struct pool_row {
    const real *x;         /* their first row that lies in the image, column 0 */
    ptrdiff_t step, count; /* elements from one such row to the next, and how many */
    real height;           /* an average divides by height * widths[output] */
    const real *widths;
    real *out;
};

FC_INLINE vec pool_column(const real *x, ptrdiff_t step, ptrdiff_t count, const int max)
{
    vec acc = v_load(x);
    for (ptrdiff_t r = 1; r < count; r++)
        acc = pool_add(acc, v_load(x + r * step), max);
    return acc;
}

/* LANES windows, `stride` (1 or 2) columns apart, the first at column 0 of x. */
FC_INLINE vec pool_windows(const real *x, ptrdiff_t step, ptrdiff_t count, ptrdiff_t kw,
                           ptrdiff_t dilation, const int stride, const int max)
{
    vec acc = v_set1(0);
    for (ptrdiff_t s = 0; s < kw; s++) {
        const real *const at = x + s * dilation;
        const vec first = pool_column(at, step, count, max);
        if (stride == 1) {
            acc = s ? pool_add(acc, first, max) : first;
        } else {
            const vec second = pool_column(at + LANES, step, count, max);
            const vec even = v_even(first, second);
            acc = s ? pool_add(acc, even, max) : even;
            if (dilation == 1 && s + 1 < kw) { /* the same columns hold the next tap too */
                acc = pool_add(acc, v_odd(first, second), max);
                s++;
            }
        }
    }
    return acc;
}

FC_INLINE vec pool_finish(vec acc, real height, vec widths, const int max)
{
#if FC_BITS != 8
    if (!max)
        return v_div(acc, v_mul(v_set1(height), widths));
#endif
    (void)height, (void)widths, (void)max;
    return acc;
}

/* Output i of NCHW, whatever its window covers: in one lane, for data would mislead branches. */
static void pool_one(const struct fc_pool2d *p, const struct pool_row *row, ptrdiff_t i,
                     const int max)
{
    const ptrdiff_t start = i * p->stride_w - p->left;
    vec acc = v_set1(pool_identity(max));
    ptrdiff_t from, to;
    pool_span(start, p->kw, p->dilation_w, 0, p->w, &from, &to);
    for (ptrdiff_t s = from; s < to && row->count > 0; s++) {
        const real *const x = row->x + start + s * p->dilation_w;
        vec column = v_load_n(x, 1);
        for (ptrdiff_t r = 1; r < row->count; r++)
            column = pool_add(column, v_load_n(x + r * row->step, 1), max);
        acc = s == from ? column : pool_add(acc, column, max);
    }
    v_store_n(row->out + i, pool_finish(acc, row->height, v_set1(row->widths[i]), max), 1);
}

/* Outputs of NCHW whose windows have all their columns in the image: [inside, outside). */
struct pool_columns {
    ptrdiff_t inside, outside;
};

static struct pool_columns pool_columns(const struct fc_pool2d *p)
{
    const ptrdiff_t last = p->w + p->left - (p->kw - 1) * p->dilation_w - 1;
    struct pool_columns c;
    c.inside = FC_MIN(ceil_div(p->left, p->stride_w), p->ow);
    c.outside = FC_MAX(FC_MIN(last < 0 ? 0 : last / p->stride_w + 1, p->ow), c.inside);
    return c;
}

/* `rows` rows of NCHW that differ only in where they are: the first is *row, the next one stride_h
 * rows of input on. count, kw, dilation and stride are constants where the caller knows them. */
FC_INLINE void pool_rows_pixels(const struct fc_pool2d *p, struct pool_row *row, ptrdiff_t rows,
                                const struct pool_columns *columns, const real *end,
                                ptrdiff_t count, ptrdiff_t kw, ptrdiff_t dilation, const int stride,
                                const int max)
{
    const ptrdiff_t inside = columns->inside, outside = columns->outside, ow = p->ow;
    const ptrdiff_t step = row->step, next = p->stride_h * p->w, first = inside * stride - p->left;
    const ptrdiff_t whole = inside + (outside - inside) / LANES * LANES, tail = outside - whole;
    /* Lanes to spare read on into the next row, but never past the array. */
    const ptrdiff_t reach = first + (count - 1) * step + (kw - 1) * dilation +
                            stride * (whole - inside + LANES);

    for (; rows > 0; rows--, row->x += next, row->out += ow) {
        const real *x = row->x + first;
        ptrdiff_t i = inside;
        for (ptrdiff_t j = 0; j < inside; j++)
            pool_one(p, row, j, max);
        if (row->x + reach <= end) {
            for (; i < outside; i += LANES, x += stride * LANES) {
                const vec widths = max ? v_set1(0) : v_load(row->widths + i);
                vec y;
                /* Rows that interleave are not the one stream that processors foresee. */
                for (ptrdiff_t r = 0; r < count; r++)
                    for (int v = 0; v < stride; v++)
                        FC_PREFETCH(x + r * step + v * LANES + POOL_AHEAD);
                y = pool_finish(pool_windows(x, step, count, kw, dilation, stride, max),
                                row->height, widths, max);
                if (i < whole)
                    v_store(row->out + i, y);
                else
                    v_store_n(row->out + i, y, tail);
            }
            i = outside;
        }
        for (; i < ow; i++)
            pool_one(p, row, i, max);
    }
}

/* One row of NCHW whose windows lie in the image in part: rare, so not once more for every size. */
static void pool_row_cut(const struct fc_pool2d *p, struct pool_row *row,
                         const struct pool_columns *columns, const real *end, const int max)
{
    if (p->stride_w == 1)
        pool_rows_pixels(p, row, 1, columns, end, row->count, p->kw, p->dilation_w, 1, max);
    else
        pool_rows_pixels(p, row, 1, columns, end, row->count, p->kw, p->dilation_w, 2, max);
}

/* One row of NHWC. */
static void pool_row_channels(const struct fc_pool2d *p, const struct pool_row *row,
                              const int max)
{
    for (ptrdiff_t i = 0; i < p->ow; i++) {
        const ptrdiff_t start = i * p->stride_w - p->left;
        const vec width = v_set1(max ? 0 : row->widths[i]);
        ptrdiff_t from, to;
        pool_span(start, p->kw, p->dilation_w, 0, p->w, &from, &to);
        for (ptrdiff_t c = 0; c < p->c; c += LANES) {
            const ptrdiff_t n = p->c - c;
            vec acc = v_set1(pool_identity(max));
            for (ptrdiff_t s = from; s < to && row->count > 0; s++) {
                const real *const x = row->x + (start + s * p->dilation_w) * p->c + c;
                vec column = n >= LANES ? v_load(x) : v_load_n(x, n);
                for (ptrdiff_t r = 1; r < row->count; r++)
                    column = pool_add(column, n >= LANES ? v_load(x + r * row->step)
                                                         : v_load_n(x + r * row->step, n), max);
                acc = s == from ? column : pool_add(acc, column, max);
            }
            acc = pool_finish(acc, row->height, width, max);
            if (n >= LANES)
                v_store(row->out + i * p->c + c, acc);
            else
                v_store_n(row->out + i * p->c + c, acc, n);
        }
    }
}

static ptrdiff_t pool_units(const void *params)
{
    const struct fc_pool2d *p = params;
    return p->planes * ceil_div(p->oh, p->block_rows);
}

static size_t pool_scratch(const void *params)
{
    return taken(((const struct fc_pool2d *)params)->ow + LANES, sizeof(real));
}

/* kh, kw and stride are constants where a caller knows them. */
FC_INLINE void pool_run(const struct fc_pool2d *p, ptrdiff_t begin, ptrdiff_t end, real *widths,
                        const int max, ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t dilation,
                        const int stride)
{
    const ptrdiff_t blocks = ceil_div(p->oh, p->block_rows), line = p->w * p->c;
    const struct pool_columns columns = pool_columns(p);
    const real *const x_end = (const real *)p->x + p->planes * p->h * line;
    struct pool_row row = {.step = p->dilation_h * line, .height = (real)p->divisor,
                           .widths = widths};

    for (ptrdiff_t i = 0; i < p->ow + LANES; i++)
        widths[i] = i >= p->ow || p->divisor != 0
                        ? 1
                        : (real)pool_count(p, i * p->stride_w - p->left, p->kw, p->dilation_w,
                                           p->left, p->w, p->right);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t plane = unit / blocks, y0 = unit % blocks * p->block_rows;
        const ptrdiff_t y1 = FC_MIN(y0 + p->block_rows, p->oh);
        const real *const x = (const real *)p->x + plane * p->h * line;
        ptrdiff_t rows;
        for (ptrdiff_t y = y0; y < y1; y += rows) {
            const ptrdiff_t start = y * p->stride_h - p->top;
            const ptrdiff_t below = p->h - 1 - (kh - 1) * p->dilation_h - start;
            ptrdiff_t from, to;
            pool_span(start, kh, p->dilation_h, 0, p->h, &from, &to);
            row.x = x + (start + from * p->dilation_h) * line;
            row.count = to - from;
            row.out = (real *)p->out + (plane * p->oh + y) * p->ow * p->c;
            if (!max && p->divisor == 0)
                row.height = (real)pool_count(p, start, kh, p->dilation_h, p->top, p->h, p->bottom);
            rows = 1;
            if (p->c > 1) {
                pool_row_channels(p, &row, max);
            } else if (stride && row.count == kh) {
                rows = FC_MIN(below / p->stride_h + 1, y1 - y);
                pool_rows_pixels(p, &row, rows, &columns, x_end, kh, kw, dilation, stride, max);
            } else if (stride && row.count > 0) {
                pool_row_cut(p, &row, &columns, x_end, max);
            } else {
                for (ptrdiff_t i = 0; i < p->ow; i++)
                    pool_one(p, &row, i, max);
            }
        }
    }
}

FC_INLINE void pool_by_size(const struct fc_pool2d *p, ptrdiff_t begin, ptrdiff_t end, real *widths,
                            const int max)
{
    const ptrdiff_t dilation = p->dilation_w;
    const int usual = FC_BITS == 32 && LANES > 1 && p->stride_w == 2 && dilation == 1;
    if (usual && p->kh == 2 && p->kw == 2)
        pool_run(p, begin, end, widths, max, 2, 2, 1, 2);
    else if (usual && p->kh == 3 && p->kw == 3)
        pool_run(p, begin, end, widths, max, 3, 3, 1, 2);
    else if (p->stride_w == 2)
        pool_run(p, begin, end, widths, max, p->kh, p->kw, dilation, 2);
    else if (p->stride_w == 1)
        pool_run(p, begin, end, widths, max, p->kh, p->kw, dilation, 1);
    else
        pool_run(p, begin, end, widths, max, p->kh, p->kw, dilation, 0);
}

static void pool(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool2d *p = params;
#if FC_BITS != 8
    if (p->pooling == FC_AVG_POOL) {
        pool_by_size(p, begin, end, scratch, 0);
        return;
    }
#endif
    pool_by_size(p, begin, end, scratch, 1);
}
