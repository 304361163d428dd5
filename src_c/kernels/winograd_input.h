/* The input of Winograd's convolution (conv_winograd.h): patches of pixels, transformed into planes of
 * points. Channels are the lanes; in NCHW they become so when the pixels are gathered. */

/* One row of a gathering: `count` pixels inside the image, of `kept` channels from x on. */
FC_INLINE void winograd_gather_nhwc(const struct steps *from, const real *x, ptrdiff_t count,
                                    ptrdiff_t kept, real *dst)
{
    if (kept == LANES)
        for (ptrdiff_t j = 0; j < count; j++)
            v_store(dst + j * LANES, v_load(x + j * from->pixel));
    else
        for (ptrdiff_t j = 0; j < count; j++)
            v_store(dst + j * LANES, v_load_n(x + j * from->pixel, kept));
}

FC_INLINE void winograd_gather_vector(const struct steps *from, const real *x, ptrdiff_t count,
                                      ptrdiff_t kept, real *dst)
{
    vec a[LANES];
    FC_UNROLL for (int k = 0; k < LANES; k++) {
        /* The next channels' rows: in many short pieces the processor sees no stream. */
        FC_PREFETCH(x + (k + LANES) * from->channel);
        a[k] = k < kept ? load_up_to(x + k * from->channel, 0, count) : v_set1(0);
    }
    transpose(a);
    FC_UNROLL for (int k = 0; k < LANES; k++)
        if (k < count)
            v_store(dst + k * LANES, a[k]);
}
FC_INLINE void winograd_gather_nchw(const struct steps *from, const real *x, ptrdiff_t count,
                                    ptrdiff_t kept, real *dst)
{
    if (count < LANES || kept < LANES) {
        for (ptrdiff_t j = 0; j < count; j += LANES)
            winograd_gather_vector(from, x + j, FC_MIN(LANES, count - j), kept, dst + j * LANES);
        return;
    }
    for (ptrdiff_t at = 0; at < count; at += LANES) {
        const ptrdiff_t j = FC_MIN(at, count - LANES);
        winograd_gather_vector(from, x + j, LANES, LANES, dst + j * LANES);
    }
}

/* A rectangle of pixels of sample n, of LANES channels from c on, with the border around them:
 * [row][column][LANES]. What is not there is 0: channels, and pixels that no output sees but the parts
 * of tiles beyond the result would. */
static void winograd_gather(const struct winograd_unit *u, ptrdiff_t n, ptrdiff_t c, ptrdiff_t y0,
                            ptrdiff_t rows, ptrdiff_t x0, ptrdiff_t cols, real *dst)
{
    const struct fc_conv2d *const p = u->p;
    const ptrdiff_t kept = FC_MIN(LANES, p->c - c);
    const real *const x = u->x + n * u->from.sample + c * u->from.channel;
    ptrdiff_t a, b;

    border_inside(x0, cols, FC_MIN(p->w, u->seen_cols), &a, &b);
    for (ptrdiff_t r = 0; r < rows; r++, dst += u->block.pixels) {
        const ptrdiff_t y = y0 + r < u->seen_rows ? border_index(y0 + r, p->h, p->border_h) : -1;
        const real *const row = x + FC_MAX(y, 0) * u->from.row;
        if (y < 0) {
            memset(dst, 0, (size_t)(cols * LANES) * sizeof(real));
            continue;
        }
        if (b > a)
            (p->nhwc ? winograd_gather_nhwc : winograd_gather_nchw)(
                &u->from, row + (x0 + a) * u->from.pixel, b - a, kept, dst + a * LANES);
        for (ptrdiff_t j = a > 0 ? 0 : b; j < cols; j = j + 1 == a ? b : j + 1) {
            const ptrdiff_t at =
                x0 + j < u->seen_cols ? border_index(x0 + j, p->w, p->border_w) : -1;
            v_store(dst + j * LANES, v_set1(0));
            for (ptrdiff_t k = 0; at >= 0 && k < kept; k++)
                dst[j * LANES + k] = row[k * u->from.channel + at * u->from.pixel];
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
    for (int j = 0; j < side; j++) {
        FC_UNROLL for (int i = 0; i < side; i++)
            d[i] = v_load(from + i * row + j * col);
        winograd_input_side(d, side);
        FC_UNROLL for (int i = 0; i < side; i++)
            v_store(half + (i * side + j) * LANES, d[i]);
    }
    for (int i = 0; i < side; i++, dst += side * b->input) {
        FC_UNROLL for (int j = 0; j < side; j++)
            d[j] = v_load(half + (i * side + j) * LANES);
        winograd_input_side(d, side);
        if (n >= LANES)
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store(dst + j * b->input, d[j]);
        else
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store_n(dst + j * b->input, d[j], n);
    }
}

/* Transform the tiles at column x of a row of tiles, LANES channels from c on, whose pixels stand
 * `row` and `pixel` elements apart. */
FC_INLINE void winograd_input_tile(const struct winograd_unit *u, ptrdiff_t c, const real *from,
                                   ptrdiff_t row, ptrdiff_t pixel, real *dst, const int side)
{
    const int stride = winograd_stride(side);
    for (int phase = 0; phase < winograd_phases(side); phase++)
        winograd_input_patch(&u->block, from + winograd_phase_row(phase, side) * row +
                                            winograd_phase_col(phase) * pixel,
                             stride * row, stride * pixel, u->p->c - c,
                             dst + phase * u->p->c + c, side);
}

/* Transform a row of tiles of sample n, y its first row of outputs; dst is its first tile. */
FC_INLINE void winograd_input(const struct winograd_unit *u, ptrdiff_t n, ptrdiff_t y,
                              const struct winograd_scratch *s, real *dst, const int side)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const int stride = winograd_stride(side), step = winograd_m(side) * stride;
    const ptrdiff_t rows = winograd_pixels(1, side), y0 = y * stride - p->top;
    const ptrdiff_t x0 = u->x0 * stride - p->left;
    const real *const image = u->x + n * u->from.sample;

    for (ptrdiff_t c = 0; !p->nhwc && c < p->c; c += LANES) {
        winograd_gather(u, n, c, y0, rows, x0, winograd_pixels(b->cols, side), s->pixels);
        for (ptrdiff_t tile = 0; tile < b->cols; tile++)
            winograd_input_tile(u, c, s->pixels + tile * step * LANES, b->pixels, LANES,
                                dst + tile * b->tile, side);
    }
    for (ptrdiff_t tile = 0; p->nhwc && tile < b->cols; tile++, dst += b->tile) {
        const ptrdiff_t at = x0 + tile * step;
        const int inside = y0 >= 0 && y0 + rows <= FC_MIN(p->h, u->seen_rows) && at >= 0 &&
                           at + rows <= FC_MIN(p->w, u->seen_cols);
        for (ptrdiff_t c = 0; c < p->c; c += LANES)
            if (inside && p->c - c >= LANES) {
                winograd_input_tile(u, c, image + y0 * u->from.row + at * u->from.pixel + c,
                                    u->from.row, u->from.pixel, dst, side);
            } else {
                winograd_gather(u, n, c, y0, rows, at, rows, s->pixels);
                winograd_input_tile(u, c, s->pixels, b->pixels, LANES, dst, side);
            }
    }
}
