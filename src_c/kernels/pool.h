/* Poolings of lines: the rows of a window are joined into a line, many lines at a time, and then
 * the columns of a window along it, from left to right. Pixels are in the lanes where a plane has
 * one channel, and channels where it has more. Bound by reading the input once.
 *
 * A line begins and ends with as much of the padding as makes its windows all alike, and rows
 * outside the image are rows of what joins nothing, so edges cost nothing; columns that lie farther
 * outside are left out, and windows that reach them go one by one. */

#define POOL_AHEAD (8192 / (ptrdiff_t)sizeof(real)) /* best of 1 to 16 KB, from memory */
enum { POOL_ROWS = 8, POOL_FEW = 2 }; /* rows joined at once: most, and of windows that have more */
enum { POOL_PADDING = 64 }; /* in a line, on each side */
/* Rows that are read where they are, at most: with channels, and of usual windows without (3x3 of
 * three axes). */
enum { POOL_IN_PLACE = 4, POOL_DIRECT = 9 };
enum { POOL_VECS = 4 }; /* of channels that are joined together */

/* n elements of some rows joined into a line, after what it holds where it is `begun`. A line has
 * room for whole vectors. */
FC_INLINE void pool_join_rows(const real *const *rows, ptrdiff_t count, ptrdiff_t n, int begun,
                              real *line, const int pooling)
{
    const real *const first = rows[0], *const second = rows[FC_MIN(count - 1, 1)];
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec acc = v_load(begun ? line + i : first + i);
        FC_PREFETCH(first + i + POOL_AHEAD); /* rows that interleave are not foreseen */
        if (begun)
            acc = pool_join(acc, v_load(first + i), pooling);
        for (ptrdiff_t j = 1; j < count; j++) {
            const real *const row = j == 1 ? second : rows[j];
            FC_PREFETCH(row + i + POOL_AHEAD);
            acc = pool_join(acc, v_load(row + i), pooling);
        }
        v_store(line + i, acc);
    }
    if (FC_BITS == 8 && i < n && i > 0) {
        /* Maxima may be taken twice, which is faster than some bytes of a vector. */
        vec acc = v_load(first + n - LANES);
        for (ptrdiff_t j = 1; j < count; j++)
            acc = pool_join(acc, v_load(rows[j] + n - LANES), pooling);
        v_store(line + n - LANES, begun ? pool_join(acc, v_load(line + n - LANES), pooling) : acc);
    } else if (i < n) {
        vec acc = begun ? v_load(line + i) : v_load_n(first + i, n - i);
        for (ptrdiff_t j = !begun; j < count; j++)
            acc = pool_join(acc, v_load_n(rows[j] + i, n - i), pooling);
        v_store(line + i, acc);
    }
}

/* Lines that are `pitch` apart, of `count` rows each, and what joins nothing after n elements. */
FC_INLINE void pool_join_lines(const real *const *rows, ptrdiff_t count, ptrdiff_t lines,
                               ptrdiff_t n, ptrdiff_t after, real *line, ptrdiff_t pitch,
                               const int pooling)
{
    /* Many rows are read as they lie in memory. */
    const ptrdiff_t most = count > POOL_ROWS ? POOL_FEW : POOL_ROWS;
    for (; lines > 0; lines--, rows += count, line += pitch) {
        if (LANES > 1 && count == 3)
            pool_join_rows(rows, 3, n, 0, line, pooling);
        else
            for (ptrdiff_t r = 0; r < count; r += most)
                pool_join_rows(rows + r, FC_MIN(most, count - r), n, r > 0, line, pooling);
        for (ptrdiff_t i = 0; i < after; i += LANES)
            v_store(line + n + i, v_set1(pool_identity(pooling)));
    }
}

/* Windows that are alike, in some lines: n in each, of k taps, `dilation` apart, each `stride`
 * after the last (all in elements), the first one from `start` on. Sums are divided by heights *
 * widths. */
struct pool_windows {
    const real *const *rows; /* of each line `count`, not joined yet where they are more than one */
    ptrdiff_t count, lines, start, k, stride, dilation, n, c;
    const real *heights, *widths;
    real *out;
    ptrdiff_t out_pitch;
    const real *spare; /* up to here outputs may be written that are written again */
    int direct;        /* straight from their rows: pool_direct */
};

FC_INLINE vec pool_finish(vec acc, real height, const real *widths, const int pooling)
{
#if FC_BITS != 8
    if (pooling == FC_SUM_POOL)
        return v_div(acc, v_mul(v_set1(height), v_load(widths)));
#endif
    (void)height, (void)widths, (void)pooling;
    return acc;
}

/* The outputs of a vector, n or more of them wanted. */
FC_INLINE void pool_put(real *out, vec acc, ptrdiff_t n, const real *spare)
{
    if (n >= LANES || spare - out >= LANES)
        v_store(out, acc);
    else
        v_store_n(out, acc, n);
}

/* One vector of windows of k pixels, 1 or 2 columns apart. */
FC_INLINE vec pool_windows_at(const real *x, ptrdiff_t k, ptrdiff_t dilation, const int stride,
                              const int pooling)
{
    vec acc = v_set1(0);
    for (ptrdiff_t s = 0; s < k; s++, x += dilation) {
        vec first = v_load(x);
        if (stride == 1) {
            acc = s ? pool_join(acc, first, pooling) : first;
        } else {
            vec second = v_load(x + LANES), even;
            FC_KEEP(first);
            FC_KEEP(second);
            even = v_even(first, second);
            acc = s ? pool_join(acc, even, pooling) : even;
            if (dilation == 1 && s + 1 < k) { /* the same columns hold the next tap too */
                acc = pool_join(acc, v_odd(first, second), pooling);
                s++;
                x++;
            }
        }
    }
    return acc;
}

/* Pixels 1 or 2 columns apart, of lines that are read beyond their end; the caller knows both. */
FC_INLINE void pool_along(const struct pool_windows *w, ptrdiff_t k, ptrdiff_t dilation,
                          const int stride, const int pooling)
{
    const ptrdiff_t n = w->n;
    const real *const widths = w->widths, *const spare = w->spare;
    for (ptrdiff_t r = 0; r < w->lines; r++) {
        const real *const x = w->rows[r] + w->start;
        const real height = w->heights[r];
        real *const out = w->out + r * w->out_pitch;
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec acc = pool_windows_at(x + stride * i, k, dilation, stride, pooling);
            acc = pool_finish(acc, height, widths + i, pooling);
            pool_put(out + i, acc, n - i, spare);
        }
    }
}

#if LANES > 1
/* The columns 0, 1 and 2, 2 and 3 and 4, ... of even and odd ones, and the last one before them. */
FC_INLINE vec pool_join_triples(vec before, vec even, vec odd, const int pooling)
{
#if FC_BITS == 32
    return pool_join(pool_join(v_shift_in(before, odd), even, pooling), odd, pooling);
#else
    (void)before, (void)even, (void)pooling; /* windows of 3 columns are always joined to lines */
    return odd;
#endif
}

/* Two vectors of row j of windows of k columns, joined to those of the rows before it. */
FC_INLINE void pool_direct_row(vec *a, vec *b, const real *x, ptrdiff_t j, const int k,
                               const int pooling)
{
    const vec left = v_load(x), right = v_load(x + LANES);
    if (k == 2 || j > 0) { /* of 3, the first row is the last one of the line before */
        FC_PREFETCH(x + POOL_AHEAD);
        FC_PREFETCH(x + POOL_AHEAD + LANES);
    }
    *a = j ? pool_join(*a, left, pooling) : left;
    *b = j ? pool_join(*b, right, pooling) : right;
}

/* Windows of k = 2 or 3 columns, 2 apart, straight from their rows, of which there are `known` where
 * that is not 0. One of 3 columns may begin in the padding; all end in the image. */
FC_INLINE void pool_direct(const struct pool_windows *w, const int known, const int k,
                           const int pooling)
{
    const ptrdiff_t count = known ? known : w->count;
    const ptrdiff_t n = w->n, start = w->start, first = start + k - 2;
    const real *const widths = w->widths, *const spare = w->spare, *const *rows = w->rows;
    for (ptrdiff_t r = 0; r < w->lines; r++, rows += count) {
        const real height = w->heights[r];
        real *const out = w->out + r * w->out_pitch;
        vec before = v_set1(pool_identity(pooling));
        if (k == 3 && start >= 0) {
            before = v_set1(rows[0][start]);
            for (ptrdiff_t j = 1; j < count; j++)
                before = pool_join(before, v_set1(rows[j][start]), pooling);
        }
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec a = before, b = before, even, odd, acc;
            FC_UNROLL for (int j = 0; j < known; j++)
                pool_direct_row(&a, &b, rows[j] + first + 2 * i, j, k, pooling);
            for (ptrdiff_t j = known; j < count; j++)
                pool_direct_row(&a, &b, rows[j] + first + 2 * i, j, k, pooling);
            even = v_even(a, b);
            odd = v_odd(a, b);
            acc = k == 2 ? pool_join(even, odd, pooling)
                         : pool_join_triples(before, even, odd, pooling);
            before = odd;
            acc = pool_finish(acc, height, widths + i, pooling);
            pool_put(out + i, acc, n - i, spare);
        }
    }
}
#endif

/* Pixels farther apart: windows at every column of a vector, of which some are outputs. */
FC_INLINE void pool_along_far(const struct pool_windows *w, const int pooling)
{
    const ptrdiff_t each = FC_MAX(LANES / w->stride, 1);
    for (ptrdiff_t r = 0; r < w->lines; r++)
        for (ptrdiff_t i = 0; i < w->n; i += each) {
            const real *const x = w->rows[r] + w->start + i * w->stride;
            const ptrdiff_t n = FC_MIN(each, w->n - i);
            real *const out = w->out + r * w->out_pitch + i;
            real lanes[LANES];
            vec acc = v_load(x);
            for (ptrdiff_t s = 1; s < w->k; s++)
                acc = pool_join(acc, v_load(x + s * w->dilation), pooling);
            v_store(lanes, acc);
            for (ptrdiff_t j = 0; j < n; j++) {
                const real y = lanes[j * w->stride], divisor = w->heights[r] * w->widths[i + j];
                out[j] = pooling == FC_SUM_POOL ? (real)(y / divisor) : y;
            }
        }
}

/* The windows of most networks as constants. */
FC_INLINE void pool_pixels(const struct pool_windows *w, const int pooling)
{
    const int usual = LANES > 1 && w->k == 3 && w->dilation == 1;
#if LANES > 1
    if (w->direct) {
        if (w->k == 2 && w->count == 2)
            pool_direct(w, 2, 2, pooling);
        else if (w->k == 2)
            pool_direct(w, 0, 2, pooling);
        else if (FC_BITS == 32 && w->count == 3)
            pool_direct(w, 3, 3, pooling);
        else if (FC_BITS == 32)
            pool_direct(w, 0, 3, pooling);
        return;
    }
#endif
    if (w->stride > 2)
        pool_along_far(w, pooling);
    else if (w->stride == 1 && usual)
        pool_along(w, 3, 1, 1, pooling);
    else if (w->stride == 1)
        pool_along(w, w->k, w->dilation, 1, pooling);
    else
        pool_along(w, w->k, w->dilation, 2, pooling);
}

/* One output of `vecs` vectors of channels, the last one of n or more; `at` is the first tap. */
FC_INLINE void pool_channels(const struct pool_windows *w, const real *const *rows, ptrdiff_t at,
                             ptrdiff_t n, vec divisor, real *out, const int vecs, const int pooling)
{
    vec acc[POOL_VECS], tap[POOL_VECS];
    (void)divisor; /* of sums */
    FC_UNROLL for (int v = 0; v < vecs; v++)
        acc[v] = v_set1(pool_identity(pooling));
    for (ptrdiff_t s = 0; s < w->k; s++, at += w->dilation) {
        const real *x = rows[0] + at;
        FC_UNROLL for (int v = 0; v < vecs; v++) {
            tap[v] = vecs > 1 || n >= LANES ? v_load(x + v * LANES) : v_load_n(x, n);
            FC_PREFETCH(x + v * LANES + POOL_AHEAD);
        }
        for (ptrdiff_t t = 1; t < w->count; t++) {
            x = rows[t] + at;
            FC_UNROLL for (int v = 0; v < vecs; v++) {
                const vec row = vecs > 1 || n >= LANES ? v_load(x + v * LANES) : v_load_n(x, n);
                FC_PREFETCH(x + v * LANES + POOL_AHEAD);
                tap[v] = pool_join(tap[v], row, pooling);
            }
        }
        FC_UNROLL for (int v = 0; v < vecs; v++)
            acc[v] = s ? pool_join(acc[v], tap[v], pooling) : tap[v];
    }
    FC_UNROLL for (int v = 0; v < vecs; v++) {
#if FC_BITS != 8
        if (pooling == FC_SUM_POOL)
            acc[v] = v_div(acc[v], divisor);
#endif
        if (vecs > 1 || n >= LANES)
            v_store(out + v * LANES, acc[v]);
        else
            v_store_n(out, acc[v], n);
    }
}

/* To the element, so single pixels near an edge go this way, too. */
FC_INLINE void pool_pixels_apart(const struct pool_windows *w, const int pooling)
{
    for (ptrdiff_t r = 0; r < w->lines; r++)
        for (ptrdiff_t i = 0; i < w->n; i++) {
            const ptrdiff_t at = w->start + i * w->stride, c = w->c;
            const vec divisor = v_set1(w->heights[r] * w->widths[i]);
            const real *const *const rows = w->rows + r * w->count;
            real *const out = w->out + r * w->out_pitch + i * c;
            ptrdiff_t j = 0;
            for (; LANES > 1 && j + POOL_VECS * LANES <= c; j += POOL_VECS * LANES)
                pool_channels(w, rows, at + j, LANES, divisor, out + j, POOL_VECS, pooling);
            for (; j < c; j += LANES)
                pool_channels(w, rows, at + j, c - j, divisor, out + j, 1, pooling);
        }
}

FC_NOINLINE void pool_lines_of(int pooling, const real *const *rows, ptrdiff_t count,
                               ptrdiff_t lines, ptrdiff_t n, ptrdiff_t after, real *line,
                               ptrdiff_t pitch)
{
    POOL_CALL(pool_join_lines, pooling, rows, count, lines, n, after, line, pitch);
}

FC_NOINLINE void pool_pixels_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_pixels, p->pooling, w);
}

FC_NOINLINE void pool_apart_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_pixels_apart, p->pooling, w);
}

/* Are rows copied before they are joined: converted, as powers, or turned around for minima? */
FC_INLINE int pool_prepares(const struct fc_pool *p)
{
    return p->dtype != REAL_DTYPE || p->norm != 0 || p->pooling == FC_MIN_POOL;
}

/* The rows of a window, those outside the image too. */
static ptrdiff_t pool_taps(const struct fc_pool *p)
{
    const struct fc_axis *const d = &p->d, *const h = &p->h;
    return (d->k ? d->k : ceil_div(d->n, d->o) + 1) * (h->k ? h->k : ceil_div(h->n, h->o) + 1);
}

/* Are rows read where they are, not joined first: one, or with channels a few? */
FC_INLINE int pool_in_place(const struct fc_pool *p)
{
    return pool_taps(p) <= (p->c > 1 ? POOL_IN_PLACE : 1) && !pool_prepares(p);
}

/* Outputs [begin, end) of those of an axis: whose windows lie in [low, high). */
struct pool_range {
    ptrdiff_t begin, end;
};

FC_SMALL struct pool_range pool_whole(const struct fc_axis *a, ptrdiff_t low, ptrdiff_t high)
{
    const ptrdiff_t last = high - (a->k - 1) * a->dilation - 1 + a->before;
    struct pool_range whole = {0, 0};
    if (a->k == 0 || last < 0)
        return whole;
    whole.begin = low + a->before > 0 ? ceil_div(low + a->before, a->stride) : 0;
    whole.begin = FC_MIN(whole.begin, a->o);
    whole.end = FC_MAX(FC_MIN(last / a->stride + 1, a->o), whole.begin);
    return whole;
}

/* A block of columns: outputs [begin, end), columns [low, low + span), `count` of them of the image
 * from `inside` on; the windows of `whole` lie in the line. */
struct pool_block {
    ptrdiff_t begin, end, low, span, inside, count;
    struct pool_range whole;
};

FC_SMALL struct pool_block pool_block(const struct fc_pool *p, ptrdiff_t begin)
{
    const struct fc_axis *const a = &p->w;
    const ptrdiff_t padding = p->c > 1 || pool_in_place(p) ? 0 : POOL_PADDING;
    struct pool_block b = {.begin = begin, .end = FC_MIN(begin + p->block_cols, a->o)};
    ptrdiff_t high;
    if (a->k == 0) {
        const struct pool_span last = pool_window(a, b.end - 1);
        b.low = pool_window(a, begin).first;
        high = last.first + last.count;
    } else {
        b.low = FC_MIN(FC_MAX(begin * a->stride - a->before, -padding), a->n);
        high = (b.end - 1) * a->stride - a->before + (a->k - 1) * a->dilation + 1;
        high = FC_MAX(FC_MIN(high, a->n + padding), b.low);
    }
    b.span = high - b.low;
    b.inside = FC_MIN(FC_MAX(-b.low, 0), b.span);
    b.count = FC_MAX(FC_MIN(a->n - b.low, b.span) - b.inside, 0);
    b.whole = pool_whole(a, b.low, high);
    b.whole.begin = FC_MIN(FC_MAX(b.whole.begin, b.begin), b.end);
    b.whole.end = FC_MAX(FC_MIN(b.whole.end, b.end), b.whole.begin);
    return b;
}

/* What a thread works with. */
struct pool_work {
    const struct fc_pool *p;
    const real *end;           /* of the array */
    ptrdiff_t taps, pitch;     /* rows of a window; elements from one line to the next */
    const real **rows;         /* of p->batch lines, `taps` each; NULL: outside, of prepared rows */
    const real **joined;       /* the lines */
    real *lines, *nothing;     /* a line of what joins nothing */
    real *heights, *widths;    /* of the lines, and of the outputs of the block */
    real *prepared, *results;  /* where rows are prepared: POOL_ROWS of them; a block of outputs */
};

/* A line may be read this far beyond its end. */
enum { POOL_SPARE = 3 * LANES };

FC_SMALL ptrdiff_t pool_pitch(const struct fc_pool *p)
{
    const ptrdiff_t outputs = FC_MIN(p->block_cols, p->w.o);
    ptrdiff_t span = p->w.n + 2 * POOL_PADDING;
    if (p->w.k > 0)
        span = FC_MIN(span, (outputs - 1) * p->w.stride + (p->w.k - 1) * p->w.dilation + 1);
    else
        span = FC_MIN(span, ceil_div(outputs * p->w.n, p->w.o) + 2);
    return odd_lines(span * p->c + POOL_SPARE);
}

/* Cuts it off a thread's scratch memory, from `area` on; gives the end. */
FC_SMALL char *pool_take(struct pool_work *w, const struct fc_pool *p, char *area)
{
    const ptrdiff_t outputs = FC_MIN(p->block_cols, p->w.o);
    *w = (struct pool_work){.p = p, .taps = pool_taps(p), .pitch = pool_pitch(p)};
    w->rows = take(&area, p->batch * w->taps, sizeof(real *));
    w->joined = take(&area, p->batch, sizeof(real *));
    w->lines = take(&area, (p->batch + 1) * w->pitch, sizeof(real));
    w->nothing = w->lines + p->batch * w->pitch;
    w->heights = take(&area, p->batch, sizeof(real));
    w->widths = take(&area, outputs + LANES, sizeof(real));
    if (pool_prepares(p)) {
        w->prepared = take(&area, POOL_ROWS * w->pitch, sizeof(real));
        w->results = take(&area, outputs * p->c, sizeof(real));
    }
    return area;
}

FC_NOINLINE size_t pool_scratch(const void *params)
{
    struct pool_work w;
    return (size_t)pool_take(&w, params, 0);
}

/* Largest to smallest, without a change of which of two equals comes first. */
FC_NOINLINE void pool_turn(real *x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = FC_BITS == 8 ? (real)~(int)x[i] : (real)-x[i];
}

#if FC_BITS != 8
/* |x|**norm, and what undoes it: equal on every instruction set, since C's own functions do it. */
FC_SMALL void pool_powers(real *x, ptrdiff_t n, double norm)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const double value = fabs((double)x[i]);
        x[i] = (real)(norm == 1 ? value : norm == 2 ? value * value : pow(value, norm));
    }
}

FC_SMALL void pool_roots(real *x, ptrdiff_t n, double norm)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const double value = (double)x[i];
        x[i] = (real)(norm == 1 ? value : norm == 2 ? sqrt(value) : pow(value, 1 / norm));
    }
}
#endif

/* A row of the caller's type becomes one that is joined. */
FC_SMALL const real *pool_prepare(const struct pool_work *w, const void *x, ptrdiff_t n, real *row)
{
    load_as_real(row, x, w->p->dtype, n);
    if (w->p->pooling == FC_MIN_POOL)
        pool_turn(row, n);
#if FC_BITS != 8
    if (w->p->norm != 0)
        pool_powers(row, n, w->p->norm);
#endif
    return row;
}

/* And back. */
FC_SMALL void pool_restore(const struct pool_work *w, ptrdiff_t n, char *out)
{
    if (w->p->pooling == FC_MIN_POOL)
        pool_turn(w->results, n);
#if FC_BITS != 8
    if (w->p->norm != 0)
        pool_roots(w->results, n, w->p->norm);
#endif
    store_from_real(out, w->results, w->p->dtype, n);
}

/* Lines whose windows are alike but for where they are: the rows of each, from `at` on, and `rest` of
 * what joins nothing. */
FC_INLINE const real **pool_list_rows(const struct pool_work *w, const char *at, ptrdiff_t depth,
                                      ptrdiff_t height, ptrdiff_t rest, ptrdiff_t lines,
                                      const real **rows)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t pitch = p->w.n * p->c * (ptrdiff_t)dtype_size(p->dtype);
    const ptrdiff_t step = p->h.dilation * pitch, next = p->h.stride * pitch;
    const ptrdiff_t slice = p->d.dilation * p->h.n * pitch;
    const real *const nothing = pool_prepares(p) ? NULL : w->nothing;
    for (; lines > 0; lines--, at += next) {
        for (ptrdiff_t d = 0; d < depth; d++)
            for (ptrdiff_t i = 0; i < height; i++)
                *rows++ = (const real *)(at + d * slice + i * step);
        for (ptrdiff_t i = 0; i < rest; i++)
            *rows++ = nothing;
    }
    return rows;
}

/* The same, with the windows of most networks as constants. */
FC_NOINLINE const real **pool_list_rows_of(const struct pool_work *w, const char *at,
                                           ptrdiff_t depth, ptrdiff_t height, ptrdiff_t lines,
                                           const real **rows)
{
    const ptrdiff_t rest = w->taps - depth * height;
    if (LANES > 1 && rest == 0 && depth == 1 && height == 2)
        return pool_list_rows(w, at, 1, 2, 0, lines, rows);
    if (LANES > 1 && rest == 0 && depth == 1 && height == 3)
        return pool_list_rows(w, at, 1, 3, 0, lines, rows);
    return pool_list_rows(w, at, depth, height, rest, lines, rows);
}

/* The rows of some lines, which begin with outputs `row` of all planes, at the columns of a block.
 * Gives the last one. */
FC_NOINLINE const real *pool_find_rows(const struct pool_work *w, const struct pool_block *b,
                                       ptrdiff_t row, ptrdiff_t lines)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t pitch = p->w.n * p->c * (ptrdiff_t)dtype_size(p->dtype), slice = p->h.n * pitch;
    const struct pool_range whole = pool_whole(&p->h, 0, p->h.n);
    const ptrdiff_t column = (b->low + b->inside) * (pitch / FC_MAX(p->w.n, 1));
    const ptrdiff_t plane = row / (p->d.o * p->h.o);
    const char *x = (const char *)p->x + plane * p->d.n * slice + column, *last = x;
    const real **rows = w->rows;
    ptrdiff_t z = row / p->h.o % p->d.o, y = row % p->h.o;
    for (ptrdiff_t r = 0, alike; r < lines; r += alike) {
        const struct pool_span depth = pool_window(&p->d, z), height = pool_window(&p->h, y);
        const char *const at = x + depth.first * slice + height.first * pitch;
        alike = y >= whole.begin && y < whole.end ? FC_MIN(lines - r, whole.end - y) : 1;
        if (p->pooling == FC_SUM_POOL) {
            const real count = pool_height(p, z, y);
            for (ptrdiff_t i = 0; i < alike; i++)
                w->heights[r + i] = count;
        }
        rows = pool_list_rows_of(w, at, depth.count, height.count, alike, rows);
        if (depth.count > 0 && height.count > 0)
            last = at + (depth.count - 1) * p->d.dilation * slice +
                   ((height.count - 1) * p->h.dilation + (alike - 1) * p->h.stride) * pitch;
        y += alike;
        if (y == p->h.o) {
            y = 0;
            if (++z == p->d.o) {
                z = 0;
                x += p->d.n * slice;
            }
        }
    }
    return (const real *)last;
}

/* Their lines; prepared rows are those of one. */
FC_NOINLINE void pool_set_lines(const struct pool_work *w, const struct pool_block *b,
                                ptrdiff_t lines)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t inside = b->inside * p->c, n = b->count * p->c;
    const ptrdiff_t after = b->span * p->c - inside - n;
    const ptrdiff_t most = w->taps > POOL_ROWS ? POOL_FEW : POOL_ROWS;
    real *const line = w->lines + inside;
    const real *rows[POOL_ROWS + 1];
    if (!pool_prepares(p)) {
        pool_lines_of(p->pooling, w->rows, w->taps, lines, n, after, line, w->pitch);
        return;
    }
    for (ptrdiff_t t = 0; t < w->taps; t += most) {
        const ptrdiff_t begun = t > 0, count = FC_MIN(most, w->taps - t);
        rows[0] = line;
        for (ptrdiff_t i = 0; i < count; i++)
            rows[begun + i] = w->rows[t + i] ? pool_prepare(w, w->rows[t + i], n,
                                                            w->prepared + i * w->pitch)
                                             : w->nothing;
        pool_lines_of(p->pooling, rows, begun + count, 1, n, after, line, w->pitch);
    }
}

/* Their outputs in a block; `last` is the last row, and outputs may be written up to `spare`. */
FC_NOINLINE void pool_set_outputs(const struct pool_work *w, const struct pool_block *b,
                                  ptrdiff_t lines, const real *last, real *out, const real *spare)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t c = p->c, start = b->whole.begin * p->w.stride - p->w.before - b->low;
    const ptrdiff_t whole = b->whole.end - b->whole.begin;
    const real *const widths = w->widths - b->begin;
    struct pool_windows windows = {
        .rows = w->joined, .count = 1, .lines = lines, .start = start * c,
        .k = p->w.k, .stride = p->w.stride * c, .dilation = p->w.dilation * c, .n = whole, .c = c,
        .heights = w->heights, .widths = widths + b->whole.begin,
        .out = out + (b->whole.begin - b->begin) * c, .out_pitch = p->w.o * c, .spare = spare,
    };
    /* Of one channel, whole vectors are read: the last lines of an array are copied first. */
    const int room = c > 1 || w->end - last >= b->count + POOL_SPARE;
    const int usual = (p->w.k == 2 && b->inside == 0) ||
                      (FC_BITS == 32 && p->w.k == 3 && b->inside <= 1);

    windows.direct = LANES > 1 && room && usual && c == 1 && w->taps <= POOL_DIRECT &&
                     p->w.stride == 2 && p->w.dilation == 1 && !pool_prepares(p) &&
                     whole == b->end - b->begin && b->inside + b->count == b->span;
    if (windows.direct || (room && pool_in_place(p))) {
        windows.rows = w->rows;
        windows.count = w->taps;
        windows.start -= b->inside;
    } else {
        pool_set_lines(w, b, lines);
    }
    if (whole > 0 && c == 1)
        pool_pixels_of(p, &windows);
    else if (whole > 0)
        pool_apart_of(p, &windows);
    windows.n = 1;
    for (ptrdiff_t i = b->begin; i < b->end; i++) {
        struct pool_span taps;
        if (i == b->whole.begin && (i = b->whole.end) >= b->end)
            break;
        taps = pool_window(&p->w, i);
        windows.start = (taps.first - b->low) * c;
        windows.k = taps.count;
        windows.widths = widths + i;
        windows.out = out + (i - b->begin) * c;
        pool_apart_of(p, &windows);
    }
}

/* What all lines of a block begin with, and what sums are divided by, for every output. */
FC_NOINLINE void pool_begin_block(const struct pool_work *w, const struct pool_block *b)
{
    for (ptrdiff_t r = 0; r < w->p->batch; r++)
        for (ptrdiff_t i = 0; i < b->inside; i++)
            w->lines[r * w->pitch + i] = pool_identity(w->p->pooling);
    for (ptrdiff_t i = b->begin; i < b->end && w->p->pooling == FC_SUM_POOL; i++)
        w->widths[i - b->begin] = pool_width(w->p, i);
}

/* A unit is a row of outputs, counted over all planes. */
static ptrdiff_t pool_rows(const void *params)
{
    const struct fc_pool *const p = params;
    return p->planes * p->d.o * p->h.o;
}

static void pool(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *const p = params;
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->dtype), outputs = FC_MIN(p->block_cols, p->w.o);
    const ptrdiff_t pitch = p->w.o * p->c;
    struct pool_work w;
    struct pool_block b = pool_block(p, 0);

    pool_take(&w, p, scratch);
    w.end = (const real *)((const char *)p->x + p->planes * p->d.n * p->h.n * p->w.n * p->c * size);
    for (ptrdiff_t i = 0; i < p->batch; i++) {
        w.joined[i] = w.lines + i * w.pitch;
        w.heights[i] = 1;
    }
    for (ptrdiff_t i = 0; i < outputs + LANES; i++)
        w.widths[i] = 1;
    for (ptrdiff_t i = 0; i < w.pitch; i += LANES)
        v_store(w.nothing + i, v_set1(pool_identity(p->pooling)));
    pool_begin_block(&w, &b);

    for (ptrdiff_t row = begin, lines; row < end; row += lines) {
        lines = FC_MIN(p->batch, end - row);
        for (ptrdiff_t col = 0; col < p->w.o; col += outputs) {
            char *const out = (char *)p->out + (row * pitch + col * p->c) * size;
            const real *last;
            if (outputs < p->w.o) {
                b = pool_block(p, col);
                pool_begin_block(&w, &b);
            }
            last = pool_find_rows(&w, &b, row, lines);
            if (pool_prepares(p)) {
                pool_set_outputs(&w, &b, lines, last, w.results, NULL);
                pool_restore(&w, (b.end - b.begin) * p->c, out);
            } else {
                pool_set_outputs(&w, &b, lines, last, (real *)out,
                                 outputs < p->w.o ? NULL : (const real *)p->out + end * pitch);
            }
        }
    }
}
