/* The result of Winograd's convolution (conv_winograd.h): products transformed back and stored, and
 * tiles with what is not finite computed again. */

/* Transform one vector of products back into a tile's outputs: `to` is the first of them in its row.
 * Gives what is not 0 where one of them is not finite. */
FC_INLINE vec winograd_output_tile(const struct winograd_block *b, const real *from, vec bias,
                                   real *to, const int m)
{
    const int side = m + 2;
    real half[4 * WINOGRAD_SIDE * LANES];
    vec y[WINOGRAD_SIDE], unsafe = v_set1(0);
    for (int j = 0; j < side; j++) {
        FC_UNROLL for (int i = 0; i < side; i++)
            y[i] = v_load(from + (i * side + j) * b->product);
        winograd_output_side(y, m);
        FC_UNROLL for (int i = 0; i < m; i++)
            v_store(half + (i * side + j) * LANES, y[i]);
    }
    for (int i = 0; i < m; i++, to += b->output) {
        FC_UNROLL for (int j = 0; j < side; j++)
            y[j] = v_load(half + (i * side + j) * LANES);
        winograd_output_side(y, m);
        FC_UNROLL for (int j = 0; j < m; j++) {
            y[j] = v_add(y[j], bias);
            v_store(to + j * LANES, y[j]);
            unsafe = v_fma(y[j], v_set1(0), unsafe);
        }
    }
    return unsafe;
}

/* x at (row, col) of its padded plane. */
FC_INLINE real winograd_pixel(const struct fc_conv2d *p, const struct steps *from, const real *x,
                              ptrdiff_t row, ptrdiff_t col)
{
    const ptrdiff_t y = border_index(row, p->h, p->border_h);
    const ptrdiff_t at = border_index(col, p->w, p->border_w);
    return y < 0 || at < 0 ? 0 : x[y * from->row + at * from->pixel];
}

/* Compute one tile of output channel k directly. */
static void winograd_direct_tile(const struct winograd_unit *u, ptrdiff_t n, ptrdiff_t y0,
                                 ptrdiff_t x0, ptrdiff_t k, const int m)
{
    const struct fc_conv2d *const p = u->p;
    const real *const x = u->x + n * u->from.sample, *const weight = u->plain + k * p->c * 9;
    real *const out = u->out + n * u->to.sample + k * u->to.channel;
    for (ptrdiff_t y = y0; y < FC_MIN(y0 + m, p->oh); y++)
        for (ptrdiff_t at = x0; at < FC_MIN(x0 + m, p->ow); at++) {
            real sum = u->bias ? u->bias[k] : 0;
            for (ptrdiff_t i = 0; i < p->c * 9; i++)
                sum = real_fma(weight[i],
                               winograd_pixel(p, &u->from, x + i / 9 * u->from.channel,
                                              y - p->top + i % 9 / 3, at - p->left + i % 3), sum);
            out[y * u->to.row + at * u->to.pixel] = activate_one(sum, tile_activation(p));
        }
}

/* Compute the tiles again that are not safe in one of the output channels [k, k + kept). */
static void winograd_repair(const struct winograd_unit *u, const real *unsafe, ptrdiff_t k,
                            ptrdiff_t kept, const int m)
{
    const struct winograd_block *const b = &u->block;
    for (ptrdiff_t tile = 0; tile < b->tiles; tile++) {
        const struct winograd_run run = winograd_run(u, tile / b->cols, m);
        for (ptrdiff_t i = 0; i < kept; i++)
            if (unsafe[tile * LANES + i] != 0)
                winograd_direct_tile(u, run.n, run.y, u->x0 + tile % b->cols * m, k + i, m);
    }
}

/* Transform the products of one vector of output channels from k on back and store them, `kept` of
 * them; v of nv is the vector's number in its product. */
FC_INLINE void winograd_output(const struct winograd_unit *u, const struct winograd_scratch *s,
                               int v, int nv, ptrdiff_t k, ptrdiff_t kept, const int m)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const vec bias = v_load(s->bias + v * LANES);
    real lanes[LANES];
    vec any = v_set1(0);

    for (ptrdiff_t r = 0; r < b->rows; r++) {
        const struct winograd_run run = winograd_run(u, r, m);
        real *const out = u->out + run.n * u->to.sample + k * u->to.channel +
                          run.y * u->to.row + u->x0 * u->to.pixel;
        for (ptrdiff_t x = 0; x < b->cols; x++) {
            const ptrdiff_t tile = r * b->cols + x;
            const vec unsafe = winograd_output_tile(b, s->product + (tile * nv + v) * LANES, bias,
                                                    s->outputs + m * x * LANES, m);
            v_store(s->unsafe + tile * LANES, unsafe);
            any = v_add(any, unsafe);
        }
        for (ptrdiff_t i = 0; i < FC_MIN(m, run.height); i++)
            (p->nhwc ? channel_store_nhwc : channel_store_nchw)(
                p, s->outputs + i * b->output, u->cols, 1, kept, out + i * u->to.row);
    }
    v_store(lanes, any);
    for (ptrdiff_t i = 0; i < kept; i++)
        if (lanes[i] != 0) {
            winograd_repair(u, s->unsafe, k, kept, m);
            break;
        }
}
