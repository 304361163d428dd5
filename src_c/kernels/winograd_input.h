/* The input of Winograd's convolution (conv_winograd.h): patches of pixels, transformed into planes of
 * points. Channels are the lanes; in NCHW they become so when the pixels are gathered. */

/* A rectangle of pixels inside the image, of `kept` channels from x on, `pitch` elements from one row to the
 * next in dst. */
FC_INLINE void winograd_gather_nhwc(const struct steps *from, const real *x, ptrdiff_t rows, ptrdiff_t cols,
                                    ptrdiff_t kept, real *dst, ptrdiff_t pitch)
{
    for (ptrdiff_t i = 0; i < rows; i++, x += from->row, dst += pitch)
        for (ptrdiff_t j = 0; j < cols; j++)
            if (kept == LANES)
                v_store(dst + j * LANES, v_load(x + j * from->pixel));
            else
                v_store(dst + j * LANES, v_load_n(x + j * from->pixel, kept));
}

/* `count` pixels of a line, at most a vector, of which `left` are in the first row, `cols` in others. */
FC_INLINE void winograd_gather_vector(const struct steps *from, const real *x, ptrdiff_t count,
                                      ptrdiff_t kept, real *dst, ptrdiff_t left, ptrdiff_t cols,
                                      ptrdiff_t pitch)
{
    const real *line = x;
    ptrdiff_t step = from->channel;
    real some[LANES * LANES];
    vec a[LANES];
    if (count < LANES || kept < LANES) {
        for (ptrdiff_t k = 0; k < LANES; k++)
            v_store(some + k * LANES, k < kept ? load_up_to(x + k * step, 0, count) : v_set1(0));
        line = some;
        step = LANES;
    }
    FC_UNROLL for (int k = 0; k < LANES; k++)
        a[k] = v_load(line + k * step);
    transpose(a);
    FC_UNROLL for (int k = 0; k < LANES; k++)
        if (k < count) {
            v_store(dst, a[k]);
            dst += LANES;
            if (--left == 0) {
                dst += pitch - cols * LANES;
                left = cols;
            }
        }
}
/* Rows that are shorter than a vector and follow each other are one line. */
FC_NOINLINE void winograd_gather_nchw(const struct steps *from, const real *x, ptrdiff_t rows, ptrdiff_t cols,
                                      ptrdiff_t kept, real *dst, ptrdiff_t pitch)
{
    const ptrdiff_t line = cols == from->row && cols < LANES ? rows : 1, count = line * cols;
    for (; rows > 0; rows -= line, x += from->row, dst += pitch)
        for (ptrdiff_t at = 0; at < count; at += LANES) {
            /* The last vector may overlap the one before. */
            const ptrdiff_t j = count < LANES ? 0 : FC_MIN(at, count - LANES), col = j % cols;
            winograd_gather_vector(from, x + j, FC_MIN(LANES, count), kept,
                                   dst + j / cols * pitch + col * LANES, cols - col, cols, pitch);
        }
}

/* Pixels in NCHW that are gathered next: LANES channels of `rows` pieces of `count` pixels. They are fetched
 * meanwhile, `each` with a tile that is transformed: in many short pieces the processor sees no stream, and all
 * at once they are more than it waits for at a time. */
struct winograd_ahead {
    const real *first;
    ptrdiff_t channel, row, rows, count, each;
};

/* What follows `height` rows of `cols` pixels of a block of channels, which begin at x. */
FC_INLINE struct winograd_ahead winograd_ahead(const struct steps *from, const real *x, ptrdiff_t height,
                                               ptrdiff_t cols, ptrdiff_t tiles)
{
    const int whole = cols == from->row; /* rows follow each other */
    const ptrdiff_t rows = whole ? 1 : height;
    return (struct winograd_ahead){x + LANES * from->channel, from->channel, from->row, rows,
                                   whole ? height * cols : cols, ceil_div(LANES * rows, tiles)};
}

/* (A function that only fetches has no effect for a compiler: it drops calls of one.) */
FC_INLINE void winograd_fetch(const struct winograd_ahead *a, ptrdiff_t tile)
{
    const ptrdiff_t end = FC_MIN((tile + 1) * a->each, LANES * a->rows);
    for (ptrdiff_t i = tile * a->each; i < end; i++) {
        const real *const piece = a->first + i / a->rows * a->channel + i % a->rows * a->row;
        for (ptrdiff_t at = 0; at < a->count; at += 64 / (ptrdiff_t)sizeof(real))
            FC_PREFETCH(piece + at);
    }
}

/* A rectangle of pixels of LANES channels from x on, `kept` of which there are, with the border around
 * them: [row][column][LANES]. What is not there is 0: channels, slices (x is NULL), and pixels that no
 * output sees but the parts of tiles beyond the result would. */
static void winograd_gather(const struct winograd_unit *u, const real *x, ptrdiff_t kept,
                            ptrdiff_t y0, ptrdiff_t rows, ptrdiff_t x0, ptrdiff_t cols, real *dst)
{
    const struct fc_conv2d *const p = u->p;
    const ptrdiff_t pitch = u->block.pixels;
    ptrdiff_t a, b, first, end;

    border_inside(x0, cols, FC_MIN(p->w, u->seen_cols), &a, &b);
    border_inside(y0, rows, x ? FC_MIN(p->h, u->seen_rows) : 0, &first, &end);
    for (ptrdiff_t r = 0, n; r < rows; r += n, dst += n * pitch) {
        const ptrdiff_t y = x && y0 + r < u->seen_rows ? border_index(y0 + r, p->h, p->border_h) : -1;
        const real *row = x;
        /* The image's own rows at once, those of the border one by one. */
        n = r == first ? FC_MAX(1, end - first) : 1;
        if (y < 0) {
            memset(dst, 0, (size_t)(cols * LANES) * sizeof(real));
            continue;
        }
        row += y * u->from.row;
        if (b > a)
            (p->nhwc ? winograd_gather_nhwc : winograd_gather_nchw)(
                &u->from, row + (x0 + a) * u->from.pixel, n, b - a, kept, dst + a * LANES, pitch);
        for (ptrdiff_t j = a > 0 ? 0 : b; j < cols; j = j + 1 == a ? b : j + 1) {
            const ptrdiff_t at =
                x0 + j < u->seen_cols ? border_index(x0 + j, p->w, p->border_w) : -1;
            for (ptrdiff_t i = 0; i < n; i++) {
                real *const to = dst + i * pitch + j * LANES;
                v_store(to, v_set1(0));
                for (ptrdiff_t k = 0; at >= 0 && k < kept; k++)
                    to[k] = row[k * u->from.channel + i * u->from.row + at * u->from.pixel];
            }
        }
    }
}

/* Patches to transform, of `kept` channels each: row and col lead from one row and column of a patch to
 * the next, step to the next patch of a row of them, next_row to the next such row. */
struct winograd_patches {
    const real *from;
    ptrdiff_t row, col, step, next_row, rows, cols, kept;
    real *to; /* the place of the first one in plane 0 */
    ptrdiff_t to_step, plane;
    struct winograd_ahead ahead; /* of no rows if nothing is */
};

/* A row of a patch, `col` apart, into its points. */
FC_INLINE void winograd_patch_row(const struct winograd_patches *t, const real *row, ptrdiff_t col, real *dst,
                                  const int side)
{
    vec d[WINOGRAD_SIDE];
    winograd_load(row, col, side, d);
    winograd_input_side(d, side, side);
    if (t->kept >= LANES)
        FC_UNROLL for (int j = 0; j < side; j++)
            v_store(dst + j * t->plane, d[j]);
    else
        FC_UNROLL for (int j = 0; j < side; j++)
            v_store_n(dst + j * t->plane, d[j], t->kept);
}

FC_INLINE void winograd_transform_patches(const struct winograd_patches *t, const int scheme)
{
    const int side = winograd_side(scheme);
    real *to = t->to;
    for (ptrdiff_t at = 0; at < t->rows * t->cols; at++, to += t->to_step) {
        const real *const from = t->from + at / t->cols * t->next_row + at % t->cols * t->step;
        real half[WINOGRAD_POINTS * LANES];
        winograd_fetch(&t->ahead, at);
        if (winograd_is_row(scheme)) {
            winograd_patch_row(t, from, t->col, to, side);
            continue;
        }
        winograd_columns(winograd_input_side, from, t->row, t->col, side, side, half, side);
        if (winograd_stays(side))
            FC_UNROLL for (int i = 0; i < side; i++)
                winograd_patch_row(t, half + i * side * LANES, LANES, to + i * side * t->plane, side);
        else
            for (int i = 0; i < side; i++)
                winograd_patch_row(t, half + i * side * LANES, LANES, to + i * side * t->plane, side);
    }
}

/* All around it is compiled once, for any scheme. */
typedef void winograd_patch_function(const struct winograd_patches *t);
#define WINOGRAD_PATCHES(what, name, scheme)                                                       \
    FC_NOINLINE void what##_##name(const struct winograd_patches *t)                               \
    {                                                                                              \
        winograd_transform_patches(t, scheme);                                                     \
    }
WINOGRAD_SCHEMES(WINOGRAD_PATCHES, winograd_patches)

/* The patches of all phases. */
static void winograd_input_patches(const struct winograd_unit *u, const struct winograd_patches *all,
                                   int scheme)
{
    winograd_patch_function *const run = WINOGRAD_OF(winograd_patches);
    for (int phase = 0; phase < winograd_phases(scheme); phase++) {
        struct winograd_patches t = *all;
        t.from += winograd_phase_row(phase, scheme) * t.row + winograd_phase_col(phase) * t.col;
        t.row *= winograd_stride(scheme);
        t.col *= winograd_stride(scheme);
        t.to += phase * u->p->c;
        if (phase > 0)
            t.ahead.rows = 0; /* fetched already */
        run(&t);
    }
}

/* Transform some channels of a run of rows of tiles; dst is its first tile. */
static void winograd_input_slice(const struct winograd_unit *u, const struct slice_channels *in,
                                 const struct winograd_run *run, const struct winograd_scratch *s,
                                 real *dst, int scheme)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const int stride = winograd_stride(scheme), step_rows = winograd_m_rows(scheme) * stride;
    const int step = winograd_m(scheme, p->kw) * stride;
    const ptrdiff_t rows = winograd_pixel_rows(1, scheme), cols = winograd_pixels(1, p->kw, scheme);
    const ptrdiff_t height = winograd_pixel_rows(run->rows, scheme);
    const ptrdiff_t width = winograd_pixels(b->cols, p->kw, scheme);
    const ptrdiff_t y0 = run->y * stride - p->top;
    const ptrdiff_t x0 = u->x0 * stride - p->left, tiles = run->rows * b->cols;
    struct winograd_patches t = {.plane = b->input};
    const int most = 2 * run->rows >= winograd_rows(p, scheme);
    ptrdiff_t left, right, top, bottom;

    border_inside(x0, width, p->w, &left, &right);
    border_inside(y0, height, p->h, &top, &bottom);
    for (ptrdiff_t c = 0; !p->nhwc && c < in->count; c += LANES) {
        const real *const x = in->x ? in->x + c * u->from.channel : NULL;
        t.kept = in->count - c;
        winograd_gather(u, x, FC_MIN(LANES, t.kept), y0, height, x0, width, s->pixels);
        t.row = b->pixels, t.col = LANES;
        t.step = step * LANES, t.next_row = step_rows * b->pixels;
        t.rows = run->rows, t.cols = b->cols;
        t.from = s->pixels;
        t.to = dst + c, t.to_step = b->tile;
        /* Behind the last channels is the next sample, whose turn it is where this is most of one. */
        t.ahead.rows = 0;
        if (x && bottom > top && right > left && (c + LANES < in->count || most))
            t.ahead = winograd_ahead(&u->from, x + (y0 + top) * u->from.row + x0 + left, bottom - top,
                                     right - left, tiles);
        winograd_input_patches(u, &t, scheme);
    }
    t.step = t.to_step = LANES; /* NHWC: a row is the channels of a tile */
    t.rows = 1;
    for (ptrdiff_t tile = 0; p->nhwc && tile < tiles; tile++, dst += b->tile) {
        const ptrdiff_t y = y0 + tile / b->cols * step_rows, at = x0 + tile % b->cols * step;
        const int inside = in->x && y >= 0 && y + rows <= FC_MIN(p->h, u->seen_rows) && at >= 0 &&
                           at + cols <= FC_MIN(p->w, u->seen_cols);
        for (ptrdiff_t c = 0; c < in->count; c += t.cols * LANES) {
            t.kept = in->count - c;
            t.to = dst + c;
            t.cols = 1;
            if (inside && t.kept >= LANES) {
                t.from = in->x + y * u->from.row + at * u->from.pixel + c;
                t.row = u->from.row, t.col = u->from.pixel;
                t.cols = t.kept / LANES;
            } else {
                winograd_gather(u, in->x ? in->x + c : NULL, FC_MIN(LANES, t.kept), y, rows, at, cols,
                                s->pixels);
                t.from = s->pixels;
                t.row = b->pixels, t.col = LANES;
            }
            winograd_input_patches(u, &t, scheme);
        }
    }
}

/* The input of all channels of a unit's rows of tiles, those of a sample at a time. */
static void winograd_input(const struct winograd_unit *u, const struct winograd_scratch *s, int scheme)
{
    struct winograd_run run;
    struct slice_channels in;
    for (ptrdiff_t r = 0; r < u->block.rows; r += run.rows) {
        run = winograd_run(u, r, scheme);
        for (ptrdiff_t c = 0; c < u->p->c; c += in.count) {
            in = slice_channels(u->p, run.n, u->g, c, u->p->c);
            winograd_input_slice(u, &in, &run, s, s->input + r * u->block.cols * u->block.tile + c, scheme);
        }
    }
}
