/* What the image filters share. A unit is a strip of output: a block of rows and columns of one
 * plane. Its source rows come line by line, converted to the type that is computed in, with the
 * border around them. A row is cols * c numbers, the c channels of a pixel side by side, so a tap
 * one pixel away is c numbers away, for any c.
 *
 * Where the image has that type already, its numbers are read where they are: only what lies near
 * the ends of a line is copied, beside the border. */

#define FILTER_AHEAD 4 /* rows between a line and the one that is fetched for later */
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

/* Numbers from a strip of a block to the one whose lines are fetched as it goes down: the next one, or
 * where lines are long the second one after it, which may be the next block's. `at` is the strip, of
 * `step` numbers. */
FC_NOINLINE ptrdiff_t filter_fetched_strip(const struct fc_filter2d *p, const struct filter_block *b,
                                           const struct filter_block *next, ptrdiff_t at,
                                           ptrdiff_t step)
{
    const ptrdiff_t rows = (next->plane - b->plane) * p->h + next->y0 - b->y0;
    const ptrdiff_t row = b->cols * p->c, ahead = 2 * step;
    if (FC_BITS < 32)
        return step;
    return at + ahead < row ? ahead : ahead - row + (rows * p->w + next->x0 - b->x0) * p->c;
}

/* Are results written past the caches? Rows must all begin alike in a cache line. (Of float32 alone:
 * others are rare, or a quarter of the bytes.) */
FC_INLINE int filter_streams(const struct fc_filter2d *p)
{
    return FC_BITS == 32 && p->stream && p->ow * p->c * (ptrdiff_t)sizeof(real) % 64 == 0;
}

/* The numbers of a block's rows of results that come before whole steps: where those are written past
 * the caches, they begin with a cache line. */
FC_INLINE ptrdiff_t filter_head(const struct fc_filter2d *p, const struct filter_block *b, const void *out)
{
    const real *const row = (const real *)out + b->x0 * p->c;
    return filter_streams(p) ? (ptrdiff_t)(-(uintptr_t)row % 64 / sizeof(real)) : 0;
}

#if FC_BITS == 32
FC_INLINE void filter_put(real *p, vec v, int stream)
{
    if (stream)
        v_stream(p, v);
    else
        v_store(p, v);
}
FC_INLINE void filter_put_end(void) { v_stream_end(); }
#else
FC_INLINE void filter_put(real *p, vec v, int stream) { (void)stream, v_store(p, v); }
FC_INLINE void filter_put_end(void) {}
#endif

FC_INLINE struct filter_inside filter_inside(const struct fc_filter2d *p, const struct filter_block *b,
                                             ptrdiff_t step, ptrdiff_t head)
{
    const ptrdiff_t before = FC_MAX(FC_MAX(p->left - b->x0, 0) * p->c, head) - head;
    const ptrdiff_t beside = round_up((p->kw - 1) * p->c, FC_MAX(FILTER_PAST, 1));
    const ptrdiff_t past = FC_MAX(beside, FILTER_PAST);
    const ptrdiff_t after = (p->w + p->left - b->x0) * p->c - past;
    struct filter_inside in = {head + round_up(before, step),
                               head + (FC_MIN(after, b->cols * p->c) - head) / step * step};
    if (p->dtype != REAL_DTYPE || in.end <= in.first)
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

/* dst[i] = the pixel at position first + i of a line, for i in [from, to), which is outside it; [a, b)
 * of dst are there already. */
FC_SMALL void filter_border(const struct fc_filter2d *p, real *dst, const char *line,
                            ptrdiff_t first, ptrdiff_t a, ptrdiff_t b, ptrdiff_t from, ptrdiff_t to)
{
    const ptrdiff_t c = p->c, pixel = c * (ptrdiff_t)dtype_size(p->dtype);
    const real cval = (real)p->cval;
    for (ptrdiff_t i = from; i < to; i++) {
        const ptrdiff_t at = border_index(first + i, p->w, p->border_w), here = at - first;
        if (at >= 0 && (here < a || here >= b))
            load_as_real(dst + i * c, line + at * pixel, p->dtype, c);
        else
            for (ptrdiff_t j = 0; j < c; j++)
                dst[i * c + j] = at >= 0 ? dst[here * c + j] : cval;
    }
}

/* dst = pixels [first, first + count) of a line of w pixels, border included. */
static void filter_extend(const struct fc_filter2d *p, real *dst, const char *line, ptrdiff_t first,
                          ptrdiff_t count)
{
    const ptrdiff_t pixel = p->c * (ptrdiff_t)dtype_size(p->dtype);
    ptrdiff_t a, b;
    border_inside(first, count, p->w, &a, &b);
    load_as_real(dst + a * p->c, line + (first + a) * pixel, p->dtype, (b - a) * p->c);
    if (a > 0)
        filter_border(p, dst, line, first, a, b, 0, a);
    if (b < count)
        filter_border(p, dst, line, first, a, b, b, count);
}

/* The ends of a line, or all of it where no step is inside, into dst. */
FC_NOINLINE void filter_copy_ends(const struct fc_filter2d *p, real *dst, const struct filter_block *b,
                                  const struct filter_ends *e, const real *line)
{
    const ptrdiff_t c = p->c, from = FC_MAX(e->in.end / c, e->a);
    const real *const seen = line + (b->x0 - p->left) * c, cval = (real)p->cval;
    if (e->in.first) {
        const ptrdiff_t to = ceil_div(e->in.first, c) + p->kw - 1;
        memcpy(dst + e->a * c, seen + e->a * c, (size_t)((to - e->a) * c) * sizeof(real));
    }
    memcpy(dst + from * c, seen + from * c, (size_t)((e->b - from) * c) * sizeof(real));
    for (ptrdiff_t i = 0; i < e->outside; i++) {
        real *const pixel = dst + (i < e->a ? i : i - e->a + e->b) * c;
        const ptrdiff_t at = e->outside <= FILTER_PLACES ? e->place[i] : filter_place(p, b, e, i);
        if (c == 1)
            *pixel = at < 0 ? cval : line[at];
        else if (at < 0)
            filter_outside(p, pixel, c);
        else
            memcpy(pixel, line + at * c, (size_t)c * sizeof(real));
    }
}

/* Fetch pixels [first, first + count) of the line that comes FILTER_AHEAD lines later. */
FC_INLINE void filter_ahead(const struct fc_filter2d *p, const char *line, ptrdiff_t first,
                            ptrdiff_t count)
{
    const ptrdiff_t pixel = p->c * (ptrdiff_t)dtype_size(p->dtype);
    const ptrdiff_t a = FC_MAX(first, 0), b = FC_MIN(first + count, p->w);
    for (ptrdiff_t i = a * pixel; i < b * pixel; i += 64)
        FC_PREFETCH(line + FILTER_AHEAD * p->w * pixel + i);
}

/* Source line y, from above the image to below it, of a block's plane and columns, into dst: all of it
 * without `ends`, or where it has another type. Steps that are inside read the line that this gives, which may be the image's own.
 * Who reads lines as they come wants later ones fetched ahead. */
static const real *filter_fetch_around(const struct fc_filter2d *p, real *dst,
                                       const struct filter_block *b, ptrdiff_t y,
                                       const struct filter_ends *ends, const int ahead)
{
    const ptrdiff_t row = p->w * p->c * (ptrdiff_t)dtype_size(p->dtype);
    const ptrdiff_t first = b->x0 - p->left, count = b->cols + p->kw - 1;
    const ptrdiff_t at = border_index(y, p->h, p->border_h);
    if (at < 0) {
        filter_outside(p, dst, count * p->c);
        return dst;
    }
    const char *const line = (const char *)p->x + (b->plane * p->h + at) * row;
    if (ahead)
        filter_ahead(p, line, first, count);
    if (!ends || p->dtype != REAL_DTYPE) {
        filter_extend(p, dst, line, first, count);
        return dst;
    }
    filter_copy_ends(p, dst, b, ends, (const real *)(const void *)line);
    return (const real *)(const void *)line + first * p->c;
}

/* The same, all of it into dst. */
static void filter_fetch(const struct fc_filter2d *p, real *dst, const struct filter_block *b,
                         ptrdiff_t y)
{
    filter_fetch_around(p, dst, b, y, NULL, 1);
}

/* The source rows of a block, all at once: the lines of steps that are inside, and those of the
 * others. */
struct filter_rows {
    const real **inside;
    real **around;
    struct filter_inside in;
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
    const ptrdiff_t source = (b->cols + p->kw - 1) * p->c;
    struct filter_rows all = {.in = filter_inside(p, b, step, head), .count = b->y1 - b->y0 + p->kh - 1};
    all.inside = take(scratch, rows, sizeof *all.inside);
    all.around = take(scratch, rows, sizeof *all.around);
    real *const lines = take(scratch, rows * pitch, sizeof(real));
    const struct filter_ends ends = fc_filter_ends(p, b, all.in);
    for (ptrdiff_t i = 0; i < all.count; i++) {
        all.around[i] = lines + i * pitch;
        all.inside[i] = filter_fetch_around(p, lines + i * pitch, b, b->y0 - p->top + i, &ends,
                                            all.in.first == all.in.end);
        if (FC_BITS >= 32) /* who looks for what is not finite finds nothing past the end */
            memset(all.around[i] + source, 0, (size_t)(step + FILTER_PAST) * sizeof(real));
    }
    return all;
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
        filter_fetch(p, dst, &seen, y);
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

/* The results [x, end), in whole vectors, of windows that hold a NaN become one. */
FC_SMALL void filter_nans(const struct fc_filter2d *p, real *out, const real *const *row, ptrdiff_t x,
                        ptrdiff_t end)
{
    for (; x < end; x += LANES) {
        vec nan = v_set1(0);
        for (ptrdiff_t i = 0; i < p->kh; i++)
            for (ptrdiff_t j = 0; j < p->kw; j++)
                nan = v_min(nan, v_load(row[i] + x + j * p->c)); /* no larger than 0, or a NaN */
        v_store(out + x, v_if_less(nan, v_set1(1), v_load(out + x), nan));
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
