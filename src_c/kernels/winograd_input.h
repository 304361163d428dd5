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
    FC_UNROLL for (int k = 0; k < LANES; k++) {
        /* The next channels' rows: in many short pieces the processor sees no stream. */
        FC_PREFETCH(x + (k + LANES) * from->channel);
        a[k] = v_load(line + k * step);
    }
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

/* Transform one patch of n channels, `row` and `col` elements from one of its rows and columns to the
 * next; dst is its place in plane 0. */
FC_INLINE void winograd_input_patch(const struct winograd_block *b, const real *from, ptrdiff_t row,
                                    ptrdiff_t col, ptrdiff_t n, real *dst, const int side)
{
    real half[WINOGRAD_POINTS * LANES];
    vec d[WINOGRAD_SIDE];
    winograd_columns(winograd_input_side, from, row, col, side, side, half, side);
    for (int i = 0; i < side; i++, dst += side * b->input) {
        winograd_row(winograd_input_side, half + i * side * LANES, side, d, side);
        if (n >= LANES)
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store(dst + j * b->input, d[j]);
        else
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store_n(dst + j * b->input, d[j], n);
    }
}

/* Transform a tile, LANES channels or the n that are left, whose pixels stand `row` and `pixel`
 * elements apart. */
FC_INLINE void winograd_input_tile(const struct winograd_unit *u, ptrdiff_t n, const real *from,
                                   ptrdiff_t row, ptrdiff_t pixel, real *dst, const int side)
{
    const int stride = winograd_stride(side);
    for (int phase = 0; phase < winograd_phases(side); phase++)
        winograd_input_patch(&u->block, from + winograd_phase_row(phase, side) * row +
                                            winograd_phase_col(phase) * pixel,
                             stride * row, stride * pixel, n, dst + phase * u->p->c, side);
}

/* Transform some channels of a run of rows of tiles; dst is its first tile. */
FC_INLINE void winograd_input_slice(const struct winograd_unit *u, const struct slice_channels *in,
                                    const struct winograd_run *run, const struct winograd_scratch *s,
                                    real *dst, const int side)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const int stride = winograd_stride(side), step = winograd_m(side) * stride;
    const ptrdiff_t rows = winograd_pixels(1, side), y0 = run->y * stride - p->top;
    const ptrdiff_t x0 = u->x0 * stride - p->left, tiles = run->rows * b->cols;

    for (ptrdiff_t c = 0; !p->nhwc && c < in->count; c += LANES) {
        const ptrdiff_t left = in->count - c;
        winograd_gather(u, in->x ? in->x + c * u->from.channel : NULL, FC_MIN(LANES, left), y0,
                        winograd_pixels(run->rows, side), x0, winograd_pixels(b->cols, side), s->pixels);
        for (ptrdiff_t tile = 0; tile < tiles; tile++)
            winograd_input_tile(u, left, s->pixels + winograd_tile_at(b, tile, step), b->pixels, LANES,
                                dst + tile * b->tile + c, side);
    }
    for (ptrdiff_t tile = 0; p->nhwc && tile < tiles; tile++, dst += b->tile) {
        const ptrdiff_t y = y0 + tile / b->cols * step, at = x0 + tile % b->cols * step;
        const int inside = in->x && y >= 0 && y + rows <= FC_MIN(p->h, u->seen_rows) && at >= 0 &&
                           at + rows <= FC_MIN(p->w, u->seen_cols);
        for (ptrdiff_t c = 0; c < in->count; c += LANES) {
            const ptrdiff_t left = in->count - c;
            if (inside && left >= LANES) {
                winograd_input_tile(u, left, in->x + y * u->from.row + at * u->from.pixel + c,
                                    u->from.row, u->from.pixel, dst + c, side);
            } else {
                winograd_gather(u, in->x ? in->x + c : NULL, FC_MIN(LANES, left), y, rows, at, rows,
                                s->pixels);
                winograd_input_tile(u, left, s->pixels, b->pixels, LANES, dst + c, side);
            }
        }
    }
}

/* The input of all channels of a unit's rows of tiles, those of a sample at a time. */
FC_INLINE void winograd_input(const struct winograd_unit *u, const struct winograd_scratch *s,
                              const int side)
{
    struct winograd_run run;
    struct slice_channels in;
    for (ptrdiff_t r = 0; r < u->block.rows; r += run.rows) {
        run = winograd_run(u, r, side);
        for (ptrdiff_t c = 0; c < u->p->c; c += in.count) {
            in = slice_channels(u->p, run.n, u->g, c, u->p->c);
            winograd_input_slice(u, &in, &run, s, s->input + r * u->block.cols * u->block.tile + c, side);
        }
    }
}
