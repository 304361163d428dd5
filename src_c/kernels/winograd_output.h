/* The result of Winograd's convolution (conv_winograd.h): products transformed back and stored, and
 * tiles with what is not finite computed again. */

/* Transform one vector of products back into a tile's outputs: `to` is the first of them in its row, rows
 * are `pitch` apart. Gives what is not 0 where one of them is not finite. */
FC_INLINE vec winograd_output_tile(const struct winograd_block *b, const real *from, vec bias,
                                   real *to, ptrdiff_t pitch, const int side)
{
    const int m = winograd_m(side);
    real half[4 * WINOGRAD_SIDE * LANES];
    vec y[WINOGRAD_SIDE], unsafe = v_set1(0);
    winograd_columns(winograd_output_side, from, side * b->product, b->product, side, m, half,
                     side);
    for (int i = 0; i < m; i++, to += pitch) {
        winograd_row(winograd_output_side, half + i * side * LANES, side, y, side);
        FC_UNROLL for (int j = 0; j < m; j++) {
            y[j] = v_add(y[j], bias);
            v_store(to + j * LANES, y[j]);
            unsafe = v_fma(y[j], v_set1(0), unsafe);
        }
    }
    return unsafe;
}

/* Compute the outputs of one tile directly, and store those of the channels from k on that are not
 * safe. */
static void winograd_direct_tile(const struct winograd_unit *u, const struct winograd_run *run,
                                 ptrdiff_t tile, const real *unsafe, vec bias, ptrdiff_t k,
                                 ptrdiff_t kept, const int side)
{
    const struct fc_conv2d *const p = u->p;
    const int m = winograd_m(side);
    const ptrdiff_t x0 = u->x0 + tile % u->block.cols * m;
    real *const out = u->out + output_slice(p, &u->to, run->n) + k * u->to.channel;
    struct slice_channels in;
    real lanes[LANES];
    for (ptrdiff_t y = run->y; y < FC_MIN(run->y + m, p->oh); y++)
        for (ptrdiff_t at = x0; at < FC_MIN(x0 + m, p->ow); at++) {
            const real *const weight = u->plain + k * p->c * 9;
            ptrdiff_t place[9];
            vec sum = bias;
            for (int i = 0; i < 9; i++) {
                const ptrdiff_t row = y * p->stride_h - p->top + i / 3;
                const ptrdiff_t col = at * p->stride_w - p->left + i % 3;
                const ptrdiff_t from_y = border_index(row, p->h, p->border_h);
                const ptrdiff_t from_x = border_index(col, p->w, p->border_w);
                place[i] = from_y < 0 || from_x < 0
                               ? -1
                               : from_y * u->from.row + from_x * u->from.pixel;
            }
            for (ptrdiff_t c = 0; c < p->c; c += in.count) {
                in = slice_channels(p, run->n, u->g, c, p->c);
                for (ptrdiff_t j = 0; j < 9 * in.count; j++) {
                    const ptrdiff_t at_tap = place[j % 9];
                    const real pixel =
                        !in.x || at_tap < 0 ? 0 : in.x[j / 9 * u->from.channel + at_tap];
                    sum = v_fma(v_load(weight + (9 * c + j) * LANES), v_set1(pixel), sum);
                }
            }
            v_store(lanes, activate(sum, tile_activation(p)));
            for (ptrdiff_t i = 0; i < kept; i++)
                if (unsafe[i] != 0)
                    out[i * u->to.channel + y * u->to.row + at * u->to.pixel] = lanes[i];
        }
}

/* Compute the tiles again that are not safe in one of the output channels [k, k + kept). */
FC_SMALL void winograd_repair(const struct winograd_unit *u, const real *unsafe, vec bias, ptrdiff_t k,
                            ptrdiff_t kept, const int side)
{
    const struct winograd_block *const b = &u->block;
    for (ptrdiff_t tile = 0; tile < b->tiles; tile++, unsafe += LANES) {
        int any = 0;
        for (ptrdiff_t i = 0; i < kept; i++)
            any |= unsafe[i] != 0;
        if (any) {
            const struct winograd_run run = winograd_run(u, tile / b->cols, side);
            winograd_direct_tile(u, &run, tile, unsafe, bias, k, kept, side);
        }
    }
}

/* Transform the products of one vector of output channels from k on back and store them, `kept` of
 * them; v of nv is the vector's number in its product. */
FC_INLINE void winograd_output(const struct winograd_unit *u, const struct winograd_scratch *s,
                               int v, int nv, ptrdiff_t k, ptrdiff_t kept, const int side)
{
    const int m = winograd_m(side);
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const vec bias = v_load(s->bias + v * LANES);
    /* Whole rows stand one after the other, in NCHW in the result, too: short ones fill vectors so. */
    const int whole = !p->nhwc && u->cols == p->ow;
    const ptrdiff_t pitch = whole ? u->cols * LANES : b->output;
    real lanes[LANES];
    vec any = v_set1(0);

    for (ptrdiff_t r = 0; r < b->rows; r++) {
        const struct winograd_run run = winograd_run(u, r, side);
        real *const out = u->out + output_slice(p, &u->to, run.n) + k * u->to.channel +
                          run.y * u->to.row + u->x0 * u->to.pixel;
        const ptrdiff_t height = FC_MIN(m, run.height);
        const ptrdiff_t rows = whole ? 1 : height, cols = whole ? height * u->cols : u->cols;
        for (ptrdiff_t i = 0; i < rows; i++)
            channel_fetch_nchw(p, cols, kept, out + i * u->to.row);
        /* The first tile comes last: the others may reach into rows below. */
        for (ptrdiff_t x = b->cols - 1; x >= 0; x--) {
            const ptrdiff_t tile = r * b->cols + x;
            const vec unsafe = winograd_output_tile(b, s->product + (tile * nv + v) * LANES, bias,
                                                    s->outputs + m * x * LANES, pitch, side);
            v_store(s->unsafe + tile * LANES, unsafe);
            any = v_add(any, unsafe);
        }
        for (ptrdiff_t i = 0; i < rows; i++)
            (p->nhwc ? channel_store_nhwc : channel_store_nchw)(
                p, s->outputs + i * pitch, cols, 1, kept, out + i * u->to.row);
    }
    v_store(lanes, any);
    for (ptrdiff_t i = 0; i < kept; i++)
        if (lanes[i] != 0) {
            winograd_repair(u, s->unsafe, bias, k, kept, side);
            break;
        }
}
