/* Poolings of lines: the rows of a window are joined into a line, a few lines at a time, and then
 * the columns of a window along it, from left to right. Pixels are in the lanes where a plane has
 * one channel, and channels where it has more. Bound by reading the input once.
 *
 * A line begins and ends with as much of the padding as makes its windows all alike, so edges cost
 * nothing; what lies farther outside is left out, and windows that reach it go one by one. */

#define POOL_AHEAD (8192 / (ptrdiff_t)sizeof(real)) /* best of 1 to 16 KB, from memory */
enum { POOL_ROWS = 8, POOL_FEW = 2 }; /* rows joined at once: most, and of windows that have more */
enum { POOL_PADDING = 64 }; /* in a line, on each side */

/* Rows of some windows that are alike: `count` > 0 rows of n elements, `step` apart, for the first of
 * `rows` lines, `pitch` apart; for each line they begin `next` elements after those of the last. */
struct pool_rows {
    const real *x;
    ptrdiff_t step, count, n, next, rows;
    real *line;
    ptrdiff_t pitch;
};

/* Joins them. A line has room for whole vectors, and so have the rows: what follows is no matter. */
FC_INLINE void pool_join_rows(const struct pool_rows *w, ptrdiff_t count, const int pooling)
{
    const ptrdiff_t step = w->step, n = w->n;
    for (ptrdiff_t r = 0; r < w->rows; r++) {
        const real *const x = w->x + r * w->next;
        real *const line = w->line + r * w->pitch;
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            const real *row = x + i;
            vec acc = v_load(row);
            FC_PREFETCH(row + POOL_AHEAD); /* rows that interleave are not what processors foresee */
            for (ptrdiff_t j = 1; j < count; j++) {
                row += step;
                FC_PREFETCH(row + POOL_AHEAD);
                acc = pool_join(acc, v_load(row), pooling);
            }
            v_store(line + i, acc);
        }
    }
}

/* The same for one line, to the element, and after what the line holds where it is `begun`. */
FC_INLINE void pool_join_more(const struct pool_rows *w, int begun, const int pooling)
{
    for (ptrdiff_t i = 0; i < w->n; i += LANES) {
        const ptrdiff_t n = w->n - i;
        vec acc = v_load(w->line + i);
        for (ptrdiff_t j = 0; j < w->count; j++) {
            const real *const x = w->x + j * w->step + i;
            const vec row = n >= LANES ? v_load(x) : v_load_n(x, n);
            FC_PREFETCH(x + POOL_AHEAD);
            acc = j || begun ? pool_join(acc, row, pooling) : row;
        }
        v_store(w->line + i, acc);
    }
}

/* The size of most windows as a constant. `end` is the end of the array. */
FC_INLINE void pool_join_window(const struct pool_rows *w, const real *end, int begun,
                                const int pooling)
{
    struct pool_rows one = *w;
    if (!begun && end - w->x >= (w->rows - 1) * w->next + (w->count - 1) * w->step +
                                     round_up(w->n, LANES)) {
        if (LANES > 1 && w->count == 3)
            pool_join_rows(w, 3, pooling);
        else
            pool_join_rows(w, w->count, pooling);
        return;
    }
    for (ptrdiff_t r = 0; r < w->rows; r++, one.x += w->next, one.line += w->pitch)
        pool_join_more(&one, begun, pooling);
}

/* Windows that are alike: n of c channels in each of `rows` lines, of k taps, `dilation` apart, each
 * `stride` after the last (all in elements). Sums are divided by height * widths. */
struct pool_windows {
    const real *x;
    ptrdiff_t count, step; /* rows that are not joined yet, and from one to the next */
    ptrdiff_t pitch, k, stride, dilation, rows, n, c;
    real height;
    const real *widths;
    real *out;
    ptrdiff_t out_pitch;
};

FC_INLINE vec pool_finish(vec acc, real height, vec widths, const int pooling)
{
#if FC_BITS != 8
    if (pooling == FC_SUM_POOL)
        return v_div(acc, v_mul(v_set1(height), widths));
#endif
    (void)height, (void)widths, (void)pooling;
    return acc;
}

/* Pixels 1 or 2 columns apart, which the caller knows. Lanes to spare read on, so a line has as much to spare. */
FC_INLINE void pool_along(const struct pool_windows *w, const int stride, const int pooling)
{
    const ptrdiff_t n = w->n, k = w->k, dilation = w->dilation;
    const real height = w->height, *const widths = w->widths;
    for (ptrdiff_t r = 0; r < w->rows; r++) {
        const real *const x = w->x + r * w->pitch;
        real *const out = w->out + r * w->out_pitch;
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            vec acc = v_set1(0);
            for (ptrdiff_t s = 0; s < k; s++) {
                const real *const at = x + stride * i + s * dilation;
                vec first = v_load(at);
                if (stride == 1) {
                    acc = s ? pool_join(acc, first, pooling) : first;
                } else {
                    vec second = v_load(at + LANES), even;
                    FC_KEEP(first);
                    FC_KEEP(second);
                    even = v_even(first, second);
                    acc = s ? pool_join(acc, even, pooling) : even;
                    if (dilation == 1 && s + 1 < k) { /* the same columns hold the next tap too */
                        acc = pool_join(acc, v_odd(first, second), pooling);
                        s++;
                    }
                }
            }
            acc = pool_finish(acc, height, pooling == FC_SUM_POOL ? v_load(widths + i) : acc, pooling);
            if (n - i >= LANES)
                v_store(out + i, acc);
            else
                v_store_n(out + i, acc, n - i);
        }
    }
}

/* Pixels farther apart: windows at every column of a vector, of which some are outputs. */
FC_INLINE void pool_along_far(const struct pool_windows *w, const int pooling)
{
    const ptrdiff_t each = FC_MAX(LANES / w->stride, 1);
    for (ptrdiff_t r = 0; r < w->rows; r++)
        for (ptrdiff_t i = 0; i < w->n; i += each) {
            const real *const x = w->x + r * w->pitch + i * w->stride;
            const ptrdiff_t n = FC_MIN(each, w->n - i);
            real *const out = w->out + r * w->out_pitch + i;
            real lanes[LANES];
            vec acc = v_load(x);
            for (ptrdiff_t s = 1; s < w->k; s++)
                acc = pool_join(acc, v_load(x + s * w->dilation), pooling);
            v_store(lanes, acc);
            for (ptrdiff_t j = 0; j < n; j++) {
                const real y = lanes[j * w->stride];
                out[j] = pooling == FC_SUM_POOL ? (real)(y / (w->height * w->widths[i + j])) : y;
            }
        }
}

/* Windows of 2x2 pixels, 2 columns apart, straight from their rows: the most common ones. */
FC_INLINE void pool_pairs(const struct pool_windows *w, const int pooling)
{
    const ptrdiff_t n = w->n, step = w->step;
    const real height = w->height, *const widths = w->widths;
    for (ptrdiff_t r = 0; r < w->rows; r++) {
        const real *x = w->x + r * w->pitch;
        real *const out = w->out + r * w->out_pitch;
        for (ptrdiff_t i = 0; i < n; i += LANES, x += 2 * LANES) {
            vec a = v_load(x), b = v_load(x + LANES), acc;
            FC_PREFETCH(x + POOL_AHEAD);
            FC_PREFETCH(x + POOL_AHEAD + LANES);
            FC_PREFETCH(x + step + POOL_AHEAD);
            FC_PREFETCH(x + step + POOL_AHEAD + LANES);
            a = pool_join(a, v_load(x + step), pooling);
            b = pool_join(b, v_load(x + step + LANES), pooling);
            acc = pool_join(v_even(a, b), v_odd(a, b), pooling);
            acc = pool_finish(acc, height, pooling == FC_SUM_POOL ? v_load(widths + i) : acc, pooling);
            if (n - i >= LANES)
                v_store(out + i, acc);
            else
                v_store_n(out + i, acc, n - i);
        }
    }
}

FC_INLINE void pool_pixels(const struct pool_windows *w, const int pooling)
{
    if (LANES > 1 && w->count == 2)
        pool_pairs(w, pooling);
    else if (w->stride == 1)
        pool_along(w, 1, pooling);
    else if (w->stride > 2)
        pool_along_far(w, pooling);
    else
        pool_along(w, 2, pooling);
}

/* Channels; to the element, so single pixels near an edge go this way, too. */
FC_INLINE void pool_channels(const struct pool_windows *w, const int pooling)
{
    for (ptrdiff_t r = 0; r < w->rows; r++)
        for (ptrdiff_t i = 0; i < w->n; i++)
            for (ptrdiff_t j = 0; j < w->c; j += LANES) {
                const real *x = w->x + r * w->pitch + i * w->stride + j;
                real *const out = w->out + r * w->out_pitch + i * w->c + j;
                const ptrdiff_t rest = w->c - j;
                vec acc = v_set1(pool_identity(pooling));
                for (ptrdiff_t s = 0; s < w->k; s++, x += w->dilation) {
                    vec tap = rest >= LANES ? v_load(x) : v_load_n(x, rest);
                    for (ptrdiff_t t = 1; t < w->count; t++) {
                        const real *const row = x + t * w->step;
                        FC_PREFETCH(row + POOL_AHEAD);
                        tap = pool_join(tap, rest >= LANES ? v_load(row) : v_load_n(row, rest),
                                        pooling);
                    }
                    FC_PREFETCH(x + POOL_AHEAD);
                    acc = s ? pool_join(acc, tap, pooling) : tap;
                }
                acc = pool_finish(acc, w->height, v_set1(w->widths[i]), pooling);
                if (rest >= LANES)
                    v_store(out, acc);
                else
                    v_store_n(out, acc, rest);
            }
}

FC_NOINLINE void pool_join_of(const struct fc_pool *p, const struct pool_rows *w, const real *end,
                         int begun)
{
    POOL_CALL(pool_join_window, p->pooling, w, end, begun);
}

FC_NOINLINE void pool_pixels_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_pixels, p->pooling, w);
}

FC_NOINLINE void pool_channels_of(const struct fc_pool *p, const struct pool_windows *w)
{
    POOL_CALL(pool_channels, p->pooling, w);
}

/* Are rows copied before they are joined: converted, as powers, or turned around for minima? */
FC_INLINE int pool_prepares(const struct fc_pool *p)
{
    return p->dtype != REAL_DTYPE || p->norm != 0 || p->pooling == FC_MIN_POOL;
}

/* Are rows read where they are, not joined first: one, or with channels two? */
FC_INLINE int pool_in_place(const struct fc_pool *p)
{
    return p->d.k == 1 && (p->h.k == 1 || (p->h.k == 2 && p->c > 1)) && !pool_prepares(p);
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
    const real *end;      /* of the array */
    ptrdiff_t pitch;      /* elements from one line to the next */
    real *lines, *widths; /* p->batch lines; of the outputs of the block */
    real *rows, *results; /* where rows are prepared: POOL_ROWS of them, and a block of outputs */
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

FC_NOINLINE size_t pool_scratch(const void *params)
{
    const struct fc_pool *p = params;
    const ptrdiff_t outputs = FC_MIN(p->block_cols, p->w.o), pitch = pool_pitch(p);
    size_t size = taken(p->batch * pitch, sizeof(real)) + taken(outputs + LANES, sizeof(real));
    if (pool_prepares(p))
        size += taken(POOL_ROWS * pitch, sizeof(real)) + taken(outputs * p->c, sizeof(real));
    return size;
}

FC_NOINLINE void pool_fill(const struct fc_pool *p, real *line, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        line[i] = pool_identity(p->pooling);
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

/* Rows of the caller's type, which begin at x, become what is joined. */
FC_SMALL void pool_prepare(const struct pool_work *w, struct pool_rows *rows, const char *x)
{
    const ptrdiff_t size = (ptrdiff_t)dtype_size(w->p->dtype);
    for (ptrdiff_t r = 0; r < rows->count; r++) {
        real *const row = w->rows + r * w->pitch;
        load_as_real(row, x + r * rows->step * size, w->p->dtype, rows->n);
        if (w->p->pooling == FC_MIN_POOL)
            pool_turn(row, rows->n);
#if FC_BITS != 8
        if (w->p->norm != 0)
            pool_powers(row, rows->n, w->p->norm);
#endif
    }
    rows->x = w->rows;
    rows->step = w->pitch;
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

/* Some rows of outputs, from row (z, y) on, whose windows are alike but for where they are; `x` is
 * their plane and `out` its outputs. */
struct pool_part {
    const char *x;
    char *out;
    ptrdiff_t z, y, rows;
};

/* The lines of such rows: all rows of their windows joined. */
FC_NOINLINE void pool_set_lines(const struct pool_work *w, const struct pool_block *b,
                           const struct pool_part *part)
{
    const struct fc_pool *const p = w->p;
    const struct pool_span depth = pool_window(&p->d, part->z), rows = pool_window(&p->h, part->y);
    const ptrdiff_t width = p->w.n * p->c, inside = b->inside * p->c, count = b->count * p->c;
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->dtype);
    struct pool_rows join = {.n = count, .next = p->h.stride * width, .rows = part->rows,
                             .line = w->lines + inside, .pitch = w->pitch};
    /* Many rows are read as they lie in memory. */
    const ptrdiff_t most = rows.count > POOL_ROWS ? POOL_FEW : POOL_ROWS;
    int begun = 0;

    for (ptrdiff_t d = 0; d < depth.count && count > 0; d++)
        for (ptrdiff_t r = 0; r < rows.count; r += most) {
            const ptrdiff_t row = (depth.first + d * p->d.dilation) * p->h.n + rows.first +
                                  r * p->h.dilation;
            const char *const x = part->x + (row * width + (b->low + b->inside) * p->c) * size;
            const real *end = w->end;
            join.x = (const real *)x;
            join.step = p->h.dilation * width;
            join.count = FC_MIN(most, rows.count - r);
            if (pool_prepares(p)) {
                pool_prepare(w, &join, x);
                end = w->rows + POOL_ROWS * w->pitch;
            }
            pool_join_of(p, &join, end, begun);
            begun = 1;
        }
    for (ptrdiff_t r = 0; r < part->rows; r++) {
        real *const line = w->lines + r * w->pitch;
        if (!begun)
            pool_fill(p, line + inside, count);
        pool_fill(p, line, inside);
        pool_fill(p, line + inside + count, b->span * p->c - inside - count);
    }
}

/* Their outputs in a block, from the lines. */
FC_NOINLINE void pool_set_outputs(const struct pool_work *w, const struct pool_block *b,
                             const struct pool_part *part, real *out)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t c = p->c, start = b->whole.begin * p->w.stride - p->w.before - b->low;
    struct pool_windows windows = {
        .x = w->lines, .count = 1, .pitch = pool_in_place(p) ? 0 : w->pitch,
        .k = p->w.k, .stride = p->w.stride * c, .dilation = p->w.dilation * c,
        .rows = part->rows, .n = b->whole.end - b->whole.begin, .c = c,
        .height = p->pooling == FC_SUM_POOL ? pool_height(p, part->z, part->y) : 1,
        .out_pitch = p->w.o * c,
    };
    const real *const widths = w->widths - b->begin;
    const real *x;
    ptrdiff_t end = b->whole.end;

    if (pool_in_place(p)) {
        const struct pool_span depth = pool_window(&p->d, part->z), rows = pool_window(&p->h, part->y);
        if (depth.count > 0 && rows.count > 0) {
            const ptrdiff_t row = depth.first * p->h.n + rows.first;
            windows.x = (const real *)part->x + (row * p->w.n + b->low) * c;
            windows.pitch = p->h.stride * p->w.n * c;
            windows.count = rows.count;
            windows.step = p->h.dilation * p->w.n * c;
            if (c == 1) { /* near the end of the array only what whole vectors may read */
                const ptrdiff_t room = w->end - windows.x - (part->rows - 1) * windows.pitch - start -
                                       (p->w.k - 1) * p->w.dilation - POOL_SPARE;
                if (windows.n * p->w.stride > room)
                    windows.n = FC_MAX(room, 0) / p->w.stride / LANES * LANES;
                end = b->whole.begin + windows.n;
            }
        }
    }
    x = windows.x;
    if (windows.n > 0) {
        windows.x = x + start * c;
        windows.widths = widths + b->whole.begin;
        windows.out = out + (b->whole.begin - b->begin) * c;
        if (c == 1)
            pool_pixels_of(p, &windows);
        else
            pool_channels_of(p, &windows);
    }
    windows.n = 1;
    for (ptrdiff_t i = b->begin; i < b->end; i++) {
        struct pool_span taps;
        if (i == b->whole.begin && (i = end) >= b->end)
            break;
        taps = pool_window(&p->w, i);
        windows.x = x + (taps.first - b->low) * c;
        windows.k = taps.count;
        windows.widths = widths + i;
        windows.out = out + (i - b->begin) * c;
        pool_channels_of(p, &windows);
    }
}

/* Whether the outputs are those of whole 2x2 windows, which are then computed without lines. */
static int pool_set_pairs(const struct pool_work *w, const struct pool_block *b,
                          const struct pool_part *part, real *out)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t width = p->w.n, n = b->end - b->begin;
    const ptrdiff_t row = part->y * p->h.stride - p->h.before;
    const struct pool_windows windows = {
        .x = (const real *)part->x + (part->z * p->d.stride * p->h.n + row) * width + b->low,
        .count = 2, .step = p->h.dilation * width, .pitch = p->h.stride * width, .rows = part->rows,
        .n = n, .widths = w->widths, .out = out, .out_pitch = p->w.o,
        .height = p->pooling == FC_SUM_POOL ? pool_height(p, part->z, part->y) : 1,
    };
    const ptrdiff_t reach = (part->rows - 1) * windows.pitch + windows.step + 2 * round_up(n, LANES);
    if (LANES == 1 || p->c > 1 || p->w.k != 2 || p->w.stride != 2 || p->w.dilation != 1 || p->h.k != 2 ||
        p->d.k != 1 || p->d.before != 0 || pool_prepares(p) || b->inside > 0 || b->count < b->span ||
        b->whole.begin > b->begin || b->whole.end < b->end || row < 0 ||
        row + p->h.dilation >= p->h.n || part->z * p->d.stride >= p->d.n || reach > w->end - windows.x)
        return 0;
    pool_pixels_of(p, &windows);
    return 1;
}

/* A block of such rows, from x to out. */
static void pool_compute(const struct pool_work *w, const struct pool_block *b,
                         const struct pool_part *part)
{
    const struct fc_pool *const p = w->p;
    const ptrdiff_t at = ((part->z * p->h.o + part->y) * p->w.o + b->begin) * p->c;
    char *const out = part->out + at * (ptrdiff_t)dtype_size(p->dtype);
    if (pool_set_pairs(w, b, part, (real *)out))
        return;
    if (!pool_in_place(p))
        pool_set_lines(w, b, part);
    pool_set_outputs(w, b, part, pool_prepares(p) ? w->results : (real *)out);
    if (pool_prepares(p))
        pool_restore(w, (b->end - b->begin) * p->c, out);
}

/* What a window's sums are divided by, for every output of a block. */
FC_NOINLINE void pool_set_widths(const struct pool_work *w, const struct pool_block *b)
{
    if (w->p->pooling == FC_SUM_POOL)
        for (ptrdiff_t i = b->begin; i < b->end; i++)
            w->widths[i - b->begin] = pool_width(w->p, i);
}

static void pool(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_pool *const p = params;
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->dtype), outputs = FC_MIN(p->block_cols, p->w.o);
    const ptrdiff_t plane_bytes = p->d.n * p->h.n * p->w.n * p->c * size;
    const struct pool_range whole = pool_whole(&p->h, 0, p->h.n);
    struct pool_work w = {.p = p, .pitch = pool_pitch(p)};
    struct pool_block b = pool_block(p, 0);
    char *area = scratch;

    w.end = (const real *)((const char *)p->x + p->planes * plane_bytes);
    w.lines = take(&area, p->batch * w.pitch, sizeof(real));
    w.widths = take(&area, outputs + LANES, sizeof(real));
    if (pool_prepares(p)) {
        w.rows = take(&area, POOL_ROWS * w.pitch, sizeof(real));
        w.results = take(&area, outputs * p->c, sizeof(real));
    }
    for (ptrdiff_t i = 0; i < outputs + LANES; i++)
        w.widths[i] = 1;
    pool_set_widths(&w, &b);
    if (pool_in_place(p)) /* for windows without a row */
        pool_fill(p, w.lines, w.pitch);

    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t first, last;
        const ptrdiff_t plane = pool_unit(p, unit, &first, &last);
        struct pool_part part = {
            .x = (const char *)p->x + plane * plane_bytes,
            .out = (char *)p->out + plane * p->d.o * p->h.o * p->w.o * p->c * size,
        };
        for (ptrdiff_t row = first; row < last; row += part.rows) {
            part.z = row / p->h.o;
            part.y = row % p->h.o;
            part.rows = 1;
            /* All lines of some rows first: a load that straddles two fresh stores waits for both. */
            if (part.y >= whole.begin && part.y < whole.end && !pool_prepares(p))
                part.rows = FC_MIN(FC_MIN(p->batch, whole.end - part.y), last - row);
            for (ptrdiff_t col = 0; col < p->w.o; col += outputs) {
                if (outputs < p->w.o) {
                    b = pool_block(p, col);
                    pool_set_widths(&w, &b);
                }
                pool_compute(&w, &b, &part);
            }
        }
    }
}
