/* What the image filters share. A unit is a strip of output: a block of rows and columns of one
 * plane. Its source rows come line by line, converted to the type that is computed in, with the
 * border around them. A row is cols * c numbers, the c channels of a pixel side by side, so a tap
 * one pixel away is c numbers away, for any c.
 *
 * Where the image has that type already, its numbers are read where they are: only what lies near
 * the ends of a line is copied, beside the border. */

#define FILTER_AHEAD 4 /* rows between a line and the one that is fetched for later */
#define FILTER_FEW 128 /* bytes inside the image that are copied as quickly as its ends alone */
/* Numbers past those of its windows that a step may read: whole vectors, where some come from
 * registers. */
#define FILTER_PAST ((V_LATER || V_PART) * LANES)

#if V_LATER
/* Vector v of the numbers that are `shift` after x. A load that crosses a cache line, as every other
 * one of 32 bytes does, counts twice, and what it gives is in vectors from x on that are held. */
FC_INLINE vec filter_later(const real *x, const vec *held, const int shift, const int v)
{
    return v % 2 || sizeof(vec) == 64 ? v_later(held[v], held[v + 1], shift) : v_load(x + shift + v * LANES);
}
#endif

/* Are results written past the caches? They must be stored as they are, in rows that all begin alike in a
 * cache line. (Of these types alone: others are rare, and each takes its code.) */
FC_INLINE int filter_streams(const struct fc_filter2d *p)
{
    return (FC_BITS == 8 || FC_BITS == 32) && p->stream && p->out_dtype == REAL_DTYPE &&
           p->ow * p->c * (ptrdiff_t)sizeof(real) % 64 == 0;
}

/* The numbers of a block's rows of results that come before whole steps: where those are written past
 * the caches, they begin with a cache line. */
FC_INLINE ptrdiff_t filter_head(const struct fc_filter2d *p, const struct filter_block *b, const void *out)
{
    const real *const row = (const real *)out + b->x0 * p->c;
    return filter_streams(p) ? (ptrdiff_t)(-(uintptr_t)row % 64 / sizeof(real)) : 0;
}

FC_INLINE void filter_put(real *p, vec v, int stream)
{
    if (stream)
        v_stream(p, v);
    else
        v_store(p, v);
}

FC_INLINE struct filter_inside filter_inside(const struct fc_filter2d *p, const struct filter_block *b,
                                             ptrdiff_t step, ptrdiff_t head)
{
    /* Steps before `head` go past it: what they see is copied, too. */
    const ptrdiff_t before = FC_MAX(FC_MAX(p->left - b->x0, 0) * p->c, round_up(head, LANES)) - head;
    const ptrdiff_t beside = round_up((p->kw - 1) * p->c, FC_MAX(FILTER_PAST, 1));
    const ptrdiff_t past = FC_MAX(beside, FILTER_PAST);
    const ptrdiff_t after = (p->w + p->left - b->x0) * p->c - past;
    struct filter_inside in = {head + round_up(before, step),
                               head + (FC_MIN(after, b->cols * p->c) - head) / step * step};
    if (p->dtype != REAL_DTYPE || in.end - in.first <= FILTER_FEW / (ptrdiff_t)sizeof(real))
        in.first = in.end = 0;
    return in;
}

/* n numbers outside of an image with a constant there. */
FC_SMALL void filter_outside(const struct fc_filter2d *p, real *dst, ptrdiff_t n)
{
    const real cval = (real)p->cval;
    for (ptrdiff_t i = 0; i < n; i++)
        dst[i] = cval;
}

/* Row y of a plane of the image. */
FC_INLINE const char *filter_source(const struct fc_filter2d *p, ptrdiff_t plane, ptrdiff_t y)
{
    return (const char *)p->x + (plane * p->h + y) * p->w * p->c * (ptrdiff_t)dtype_size(p->dtype);
}

/* Fetch pixels [from, to) of the row that comes `ahead` rows later, if any. */
FC_INLINE void filter_ahead(const struct fc_filter2d *p, const char *row, ptrdiff_t from, ptrdiff_t to,
                            ptrdiff_t ahead)
{
    const ptrdiff_t pixel = p->c * (ptrdiff_t)dtype_size(p->dtype);
    for (ptrdiff_t i = from * pixel; ahead && i < to * pixel; i += 64)
        FC_PREFETCH(row + ahead * p->w * pixel + i);
}

/* dst[i] = pixel i of a line, for i in [from, to): those in the image, then those outside it. The latter
 * come from the row, since what was just written is slow to read, or where that has another type from the
 * former, if they stand among them. */
FC_NOINLINE void filter_copy(const struct fc_filter2d *p, real *dst, const struct filter_ends *e,
                             const char *row, ptrdiff_t from, ptrdiff_t to, ptrdiff_t ahead)
{
    const int same = FC_BITS == 8 || p->dtype == REAL_DTYPE; /* known when compiled for bytes */
    const ptrdiff_t c = p->c, pixel = c * (ptrdiff_t)(same ? sizeof(real) : dtype_size(p->dtype));
    const ptrdiff_t a = FC_MAX(from, e->a), b = FC_MIN(to, e->b);
    const real cval = (real)p->cval, *const numbers = (const real *)(const void *)row;
    filter_ahead(p, row, e->first + a, e->first + b, ahead);
    load_as_real(dst + a * c, row + (e->first + a) * pixel, p->dtype, (b - a) * c);
    for (ptrdiff_t i = from < a ? from : b; i < to; i = i + 1 == a ? b : i + 1) {
        const ptrdiff_t k = i < a ? i : i - (e->b - e->a);
        const ptrdiff_t at =
            k < FILTER_PLACES ? e->place[k] : border_index(e->first + i, p->w, p->border_w);
        const ptrdiff_t here = at - e->first;
        if (same && c == 1)
            dst[i] = at < 0 ? cval : numbers[at];
        else if (at < 0)
            filter_outside(p, dst + i * c, c);
        else if (!same && here >= a && here < b)
            memcpy(dst + i * c, dst + here * c, (size_t)c * sizeof(real));
        else
            load_as_real(dst + i * c, row + at * pixel, p->dtype, c);
    }
}

/* The line of row y of the plane, from above the image to below it, into dst: all of it, or where steps are
 * inside its ends. Those steps read the line that this gives, which may be the image's own. What is copied
 * is fetched for the line that comes `ahead` lines later, if any. */
static const real *filter_fetch_around(const struct fc_filter2d *p, real *dst, const struct filter_ends *e,
                                       ptrdiff_t y, ptrdiff_t ahead)
{
    const ptrdiff_t at = border_index(y, p->h, p->border_h);
    if (at < 0) {
        filter_outside(p, dst, e->count * p->c);
        return dst;
    }
    const char *const row = filter_source(p, e->plane, at);
    if (e->to)
        filter_copy(p, dst, e, row, 0, e->to, ahead);
    filter_copy(p, dst, e, row, e->from, e->count, ahead);
    return e->in.end ? (const real *)(const void *)row + e->first * p->c : dst;
}

/* The same of a line that is copied whole. */
FC_NOINLINE void filter_fetch(const struct fc_filter2d *p, real *dst, const struct filter_ends *whole,
                              ptrdiff_t y)
{
    filter_fetch_around(p, dst, whole, y, FILTER_AHEAD);
}

/* The source rows of a block, all at once: the lines of steps that are inside, and those of the
 * others. */
struct filter_rows {
    const real **inside;
    real **around;
    struct filter_ends ends;
    ptrdiff_t count;
};

/* From one source line to the next: steps read, or write, up to `step` numbers past the end of one. */
FC_INLINE ptrdiff_t filter_pitch(const struct fc_filter2d *p, ptrdiff_t step)
{
    return odd_lines((p->block_cols + p->kw - 1) * p->c + step + FILTER_PAST);
}

static size_t filter_rows_taken(const struct fc_filter2d *p, ptrdiff_t step)
{
    const ptrdiff_t rows = p->block_rows + p->kh - 1;
    return 2 * taken(rows, sizeof(real *)) + taken(rows * filter_pitch(p, step), sizeof(real));
}

static struct filter_rows filter_rows(const struct fc_filter2d *p, const struct filter_block *b,
                                      ptrdiff_t step, ptrdiff_t head, char **scratch)
{
    const ptrdiff_t rows = p->block_rows + p->kh - 1, pitch = filter_pitch(p, step);
    struct filter_rows all = {.ends = fc_filter_ends(p, b, filter_inside(p, b, step, head)),
                              .count = b->y1 - b->y0 + p->kh - 1};
    all.inside = take(scratch, rows, sizeof *all.inside);
    all.around = take(scratch, rows, sizeof *all.around);
    real *const lines = take(scratch, rows * pitch, sizeof(real));
    const ptrdiff_t ahead = all.ends.in.end ? b->y1 - b->y0 : FILTER_AHEAD;
    for (ptrdiff_t i = 0; i < all.count; i++) {
        all.around[i] = lines + i * pitch;
        all.inside[i] = filter_fetch_around(p, all.around[i], &all.ends, b->y0 - p->top + i, ahead);
        if (FC_BITS >= 32) /* who looks for what is not finite finds nothing past the end */
            memset(all.around[i] + all.ends.count * p->c, 0, (size_t)(step + FILTER_PAST) * sizeof(real));
    }
    return all;
}

/* The lines of the step at x. */
FC_INLINE const real *const *filter_rows_at(const struct filter_rows *all, ptrdiff_t x)
{
    const int inside = x >= all->ends.in.first && x < all->ends.in.end;
    return inside ? all->inside : (const real *const *)all->around;
}

/* Line i of a block, or of the next one below it: there to be fetched. */
FC_INLINE const real *filter_rows_past(const struct fc_filter2d *p, const struct filter_rows *all,
                                       ptrdiff_t i)
{
    const ptrdiff_t past = all->ends.in.end ? FC_MAX(i - all->count + 1, 0) : 0;
    return all->inside[FC_MIN(i, all->count - 1)] + past * p->w * p->c;
}

/* What goes down at x, with the lines that it reads. */
FC_INLINE struct filter_down filter_down_at(const struct fc_filter2d *p, const struct filter_block *b,
                                            const struct filter_block *next, const struct filter_rows *all,
                                            ptrdiff_t x, ptrdiff_t head, ptrdiff_t step)
{
    struct filter_down t = fc_filter_down(p, b, next, &all->ends, x, head, step);
    t.row = (const void *const *)filter_rows_at(all, x);
    t.ahead = (const void *const *)all->inside;
    return t;
}

#if FC_BITS < 32 /* integers, which are finite */
FC_INLINE void filter_mark(vec *wild, vec x) { (void)wild, (void)x; }
FC_INLINE int filter_marked(vec wild) { return (void)wild, 0; }
static int filter_wild(const struct fc_filter2d *p, const real *line, ptrdiff_t n)
{
    return (void)p, (void)line, (void)n, 0;
}
static void filter_nans(const struct fc_filter2d *p, real *out, const real *const *row, ptrdiff_t x,
                        ptrdiff_t end)
{
    (void)p, (void)out, (void)row, (void)x, (void)end;
}
#else
/* dst = the channels [c0, c0 + c) of pixels [first, first + count) of line y of a plane, border
 * included. */
static void filter_fetch_channels(const struct fc_filter2d *p, real *dst, ptrdiff_t plane, ptrdiff_t y,
                                  ptrdiff_t first, ptrdiff_t count, ptrdiff_t c0, ptrdiff_t c)
{
    const ptrdiff_t row = border_index(y, p->h, p->border_h), size = (ptrdiff_t)dtype_size(p->dtype);
    if (c == p->c) {
        const struct filter_block seen = {
            .plane = plane, .x0 = first + p->left, .cols = count - (p->kw - 1)};
        const struct filter_ends whole = fc_filter_ends(p, &seen, FILTER_NOWHERE);
        filter_fetch(p, dst, &whole, y);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++, dst += c) {
        const ptrdiff_t col = border_index(first + i, p->w, p->border_w);
        const ptrdiff_t at = ((plane * p->h + row) * p->w + col) * p->c + c0;
        if (row >= 0 && col >= 0)
            load_as_real(dst, (const char *)p->x + at * size, p->dtype, c);
        else
            filter_outside(p, dst, c);
    }
}

/* *wild becomes a NaN where x is no finite number. */
FC_INLINE void filter_mark(vec *wild, vec x) { *wild = v_fma(x, v_set1(0), *wild); }

/* Is there a NaN in a vector? */
FC_INLINE int filter_marked(vec wild)
{
    real lanes[LANES], sum = 0;
    v_store(lanes, wild);
    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum != 0;
}

/* The results [x, end) of windows that hold a NaN become one; whole vectors of them are read. */
FC_SMALL void filter_nans(const struct fc_filter2d *p, real *out, const real *const *row, ptrdiff_t x,
                        ptrdiff_t end)
{
    for (; x < end; x += LANES) {
        vec nan = v_set1(0);
        for (ptrdiff_t i = 0; i < p->kh; i++)
            for (ptrdiff_t j = 0; j < p->kw; j++)
                nan = v_min(nan, v_load(row[i] + x + j * p->c)); /* no larger than 0, or a NaN */
        store_up_to(out, x, end, v_if_less(nan, v_set1(1), v_load(out + x), nan));
    }
}

/* Is there a NaN (or an infinity) among n numbers? */
static int filter_wild(const struct fc_filter2d *p, const real *line, ptrdiff_t n)
{
    enum { VECTORS = 4 };
    vec any[VECTORS] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    if (p->dtype < FC_FLOAT16) /* integers */
        return 0;
    for (ptrdiff_t i = 0; i < n; i += VECTORS * LANES)
        FC_UNROLL for (int v = 0; v < VECTORS; v++)
            filter_mark(any + v, load_up_to(line, i + v * LANES, n));
    return filter_marked(v_add(v_add(any[0], any[1]), v_add(any[2], any[3])));
}
#endif
