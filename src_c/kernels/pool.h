/* Poolings of lines: the rows of a window are joined into a line, many lines at a time, and then
 * the columns of a window along it, from left to right. Pixels are in the lanes where a plane has
 * one channel, and channels where it has more. Bound by reading the input once.
 *
 * A line begins and ends with as much of the padding as makes its windows all alike, and rows
 * outside the image are rows of what joins nothing, so edges cost nothing; columns that lie farther
 * outside are left out, and windows that reach them go one by one. */

enum { POOL_PADDING = 64 }; /* in a line, on each side */
/* Rows that are read where they are, at most: with channels, and of usual windows without (3x3 of
 * three axes). */
enum { POOL_IN_PLACE = 4, POOL_DIRECT = 9 };

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
    int direct; /* may windows be read straight from their rows? */
    int beside; /* and those of 3 columns beside each other, from 3 rows? */
};

/* Those of 2 or 3 columns, 2 apart, where one of 3 alone may begin in the padding; or of 3, 1 apart, which
 * may begin and end there. */
FC_INLINE int pool_is_straight(const struct fc_pool *p, const struct pool_block *b, ptrdiff_t stride)
{
    const ptrdiff_t k = p->w.k;
    return LANES > 1 && p->c == 1 && !pool_prepares(p) && p->w.stride == stride &&
           p->w.dilation == 1 && ((stride == 2 && k == 2) || (FC_BITS == 32 && k == 3)) &&
           b->inside <= k - 2 && b->span - b->inside - b->count <= 2 - stride &&
           b->whole.end - b->whole.begin == b->end - b->begin;
}

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
    b.direct = pool_is_straight(p, &b, 2);
    b.beside = pool_is_straight(p, &b, 1);
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

FC_SMALL size_t pool_scratch(const void *params)
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

    windows.direct = b->direct && room && w->taps <= POOL_DIRECT;
    if (windows.direct || (room && pool_in_place(p))) {
        windows.rows = w->rows;
        windows.count = w->taps;
        windows.ahead = p->h.stride * p->w.n * c;
        if (c > 1 && windows.ahead >= POOL_NEAR)
            windows.fresh = p->h.stride < p->h.k ? FC_MIN(p->h.stride, w->taps) : w->taps;
        if (windows.ahead > POOL_FAR)
            windows.ahead = POOL_AHEAD;
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

#if LANES > 1
/* Are they squares of planes, in a block of all columns: read without a list of their rows? */
FC_INLINE int pool_is_of_planes(const struct fc_pool *p, const struct pool_block *b)
{
    const struct fc_axis *const d = &p->d, *const h = &p->h;
    return (b->direct || b->beside) && b->end - b->begin == p->w.o && h->k == p->w.k &&
           h->dilation == 1 && h->before + h->after < h->k && d->n == 1 && d->o == 1 && d->k == 1 &&
           d->before == 0;
}

/* Such rows of outputs, counted over all planes. */
FC_INLINE void pool_plane_rows(const struct pool_work *w, struct pool_windows *windows, ptrdiff_t begin,
                               ptrdiff_t end, const int k, const int beside, const int pooling)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t pitch = p->w.n, high = p->h.n, stride = p->h.stride;
    const real *plane = (const real *)p->x + begin / p->h.o * high * pitch;
    ptrdiff_t y = begin % p->h.o;
    (void)beside;
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t top = y * stride - p->h.before;
        const real height = pooling == FC_SUM_POOL ? pool_height(p, 0, y) : 1;
        const real *rows[3];
        FC_UNROLL for (int j = 0; j < k; j++)
            rows[j] = top + j >= 0 && top + j < high ? plane + (top + j) * pitch : w->nothing;
#if FC_BITS == 32
        if (beside)
            pool_beside_line(windows, rows, height, windows->out, pooling);
        else
#endif
            pool_direct_line(windows, rows, height, windows->out, k, k, pooling);
        windows->out += windows->out_pitch;
        if (++y == p->h.o) {
            y = 0;
            plane += high * pitch;
        }
    }
}

/* Rows of outputs from `begin` on, but for the last ones, near the end of the array, past which whole
 * vectors would be read. Gives the first that is left. */
FC_NOINLINE ptrdiff_t pool_plane_rows_of(const struct pool_work *w, const struct pool_block *b,
                                     ptrdiff_t begin, ptrdiff_t end)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t near = ceil_div(b->count + POOL_SPARE, FC_MAX(p->w.n * p->h.stride, 1)) + p->h.k;
    const ptrdiff_t all = p->planes * p->h.o, safe = FC_MIN(end, all - near);
    struct pool_windows windows = {
        .start = -p->w.before, .n = p->w.o, .widths = w->widths, .count = p->w.k,
        .out = (real *)p->out + begin * p->w.o, .out_pitch = p->w.o,
        .spare = (const real *)p->out + end * p->w.o, .columns = p->w.n,
    };
    if (safe <= begin)
        return begin;
    if (p->w.k == 2)
        POOL_CALL(pool_plane_rows, p->pooling, w, &windows, begin, safe, 2, 0);
    else if (FC_BITS == 32 && b->beside)
        POOL_CALL(pool_plane_rows, p->pooling, w, &windows, begin, safe, 3, 1);
    else if (FC_BITS == 32)
        POOL_CALL(pool_plane_rows, p->pooling, w, &windows, begin, safe, 3, 0);
    return safe;
}
#endif

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

    ptrdiff_t row = begin;
#if LANES > 1
    if (pool_is_of_planes(p, &b))
        row = pool_plane_rows_of(&w, &b, begin, end);
#endif
    for (ptrdiff_t lines; row < end; row += lines) {
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
