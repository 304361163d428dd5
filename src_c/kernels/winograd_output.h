/* The result of Winograd's convolution (conv_winograd.h): products transformed back and stored, and
 * tiles with what is not finite computed again. */

/* Products of tiles beside each other, one vector of output channels, to transform back: `to` is the first
 * output of the first tile, rows are `pitch` apart and have m of a tile. */
struct winograd_results {
    const real *from; /* of the first tile, step from one to the next, plane from one point to the next */
    ptrdiff_t step, plane, count, pitch;
    const real *bias;
    real *to, *unsafe; /* what is not 0 where an output of a tile is not finite: [tile][LANES] */
    int m;
};

/* A row of products, `col` apart, into m outputs. Gives `unsafe`, or what is not 0 where one is not finite. */
FC_INLINE vec winograd_result_row(const real *row, ptrdiff_t col, vec bias, vec unsafe, real *to, const int m,
                                  const int side)
{
    vec y[WINOGRAD_SIDE];
    winograd_load(row, col, side, y);
    winograd_output_side(y, m, side);
    FC_UNROLL for (int j = 0; j < side && j < m; j++) {
        y[j] = v_add(y[j], bias);
        v_store(to + j * LANES, y[j]);
        unsafe = v_fma(y[j], v_set1(0), unsafe);
    }
    return unsafe;
}

/* Gives what is not 0 where an output is not finite. */
FC_INLINE vec winograd_transform_results(const struct winograd_results *t, const int m, const int scheme)
{
    const int side = winograd_side(scheme);
    const vec bias = v_load(t->bias);
    vec any = v_set1(0);
    /* The first tile comes last: the others may reach into rows below. */
    for (ptrdiff_t x = t->count - 1; x >= 0; x--) {
        const real *const from = t->from + x * t->step;
        real half[4 * WINOGRAD_SIDE * LANES], *const to = t->to + x * m * LANES;
        vec unsafe = v_set1(0);
        if (winograd_is_row(scheme)) {
            unsafe = winograd_result_row(from, t->plane, bias, unsafe, to, m, side);
        } else {
            winograd_columns(winograd_output_side, from, side * t->plane, t->plane, side, m, half, side);
            if (winograd_stays(side))
                FC_UNROLL for (int i = 0; i < m; i++)
                    unsafe = winograd_result_row(half + i * side * LANES, LANES, bias, unsafe,
                                                 to + i * t->pitch, m, side);
            else
                for (int i = 0; i < m; i++)
                    unsafe = winograd_result_row(half + i * side * LANES, LANES, bias, unsafe,
                                                 to + i * t->pitch, m, side);
        }
        v_store(t->unsafe + x * LANES, unsafe);
        any = v_add(any, unsafe);
    }
    return any;
}

/* All around it is compiled once, for any scheme. */
typedef vec winograd_result_function(const struct winograd_results *t);
#define WINOGRAD_RESULTS(what, name, scheme)                                                       \
    FC_NOINLINE vec what##_##name(const struct winograd_results *t)                                \
    {                                                                                              \
        const int m = winograd_is_row(scheme) ? t->m : winograd_m(scheme, 3);                      \
        return winograd_transform_results(t, m, scheme);                                           \
    }
WINOGRAD_SCHEMES(WINOGRAD_RESULTS, winograd_results)

/* Compute the outputs of one tile directly, and store those of the channels from k on that are not
 * safe. */
static void winograd_direct_tile(const struct winograd_unit *u, const struct winograd_run *run,
                                 ptrdiff_t tile, const real *unsafe, vec bias, ptrdiff_t k,
                                 ptrdiff_t kept, int scheme)
{
    const struct fc_conv2d *const p = u->p;
    const int m = winograd_m(scheme, p->kw), rows = winograd_m_rows(scheme);
    const ptrdiff_t terms = p->kh * p->kw;
    const ptrdiff_t x0 = u->x0 + tile % u->block.cols * m;
    real *const out = u->out + output_slice(p, &u->to, run->n) + k * u->to.channel;
    struct slice_channels in;
    real lanes[LANES];
    for (ptrdiff_t y = run->y; y < FC_MIN(run->y + rows, p->oh); y++)
        for (ptrdiff_t at = x0; at < FC_MIN(x0 + m, p->ow); at++) {
            const real *const weight = u->plain + k * p->c * terms;
            ptrdiff_t place[WINOGRAD_TERMS];
            vec sum = bias;
            for (int i = 0; i < terms; i++) {
                const ptrdiff_t row = y * p->stride_h - p->top + i / p->kw;
                const ptrdiff_t col = at * p->stride_w - p->left + i % p->kw;
                const ptrdiff_t from_y = border_index(row, p->h, p->border_h);
                const ptrdiff_t from_x = border_index(col, p->w, p->border_w);
                place[i] = from_y < 0 || from_x < 0
                               ? -1
                               : from_y * u->from.row + from_x * u->from.pixel;
            }
            for (ptrdiff_t c = 0; c < p->c; c += in.count) {
                in = slice_channels(p, run->n, u->g, c, p->c);
                for (ptrdiff_t j = 0; j < terms * in.count; j++) {
                    const ptrdiff_t at_tap = place[j % terms];
                    const real pixel =
                        !in.x || at_tap < 0 ? 0 : in.x[j / terms * u->from.channel + at_tap];
                    sum = v_fma(v_load(weight + (terms * c + j) * LANES), v_set1(pixel), sum);
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
                            ptrdiff_t kept, int scheme)
{
    const struct winograd_block *const b = &u->block;
    for (ptrdiff_t tile = 0; tile < b->tiles; tile++, unsafe += LANES) {
        int any = 0;
        for (ptrdiff_t i = 0; i < kept; i++)
            any |= unsafe[i] != 0;
        if (any) {
            const struct winograd_run run = winograd_run(u, tile / b->cols, scheme);
            winograd_direct_tile(u, &run, tile, unsafe, bias, k, kept, scheme);
        }
    }
}

/* Transform the products of one vector of output channels from k on back and store them, `kept` of
 * them; v of nv is the vector's number in its product. */
static void winograd_output(const struct winograd_unit *u, const struct winograd_scratch *s, int v, int nv,
                            ptrdiff_t k, ptrdiff_t kept, int scheme)
{
    winograd_result_function *const results = WINOGRAD_OF(winograd_results);
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const real *const bias = s->bias + v * LANES;
    /* Whole rows stand one after the other, in NCHW in the result, too: short ones fill vectors so. */
    const int whole = !p->nhwc && u->cols == p->ow;
    const ptrdiff_t pitch = whole ? u->cols * LANES : b->output;
    real lanes[LANES];
    vec any = v_set1(0);
    struct winograd_results t = {.step = nv * LANES, .plane = b->product, .count = b->cols,
                                 .pitch = pitch, .bias = bias, .to = s->outputs,
                                 .m = winograd_m(scheme, p->kw)};

    for (ptrdiff_t r = 0; r < b->rows; r++) {
        const struct winograd_run run = winograd_run(u, r, scheme);
        real *const out = u->out + output_slice(p, &u->to, run.n) + k * u->to.channel +
                          run.y * u->to.row + u->x0 * u->to.pixel;
        const ptrdiff_t height = FC_MIN(winograd_m_rows(scheme), run.height);
        const ptrdiff_t rows = whole ? 1 : height, cols = whole ? height * u->cols : u->cols;
        for (ptrdiff_t i = 0; i < rows; i++)
            channel_fetch_nchw(p, cols, kept, out + i * u->to.row);
        t.from = s->product + (r * b->cols * nv + v) * LANES;
        t.unsafe = s->unsafe + r * b->cols * LANES;
        any = v_add(any, results(&t));
        for (ptrdiff_t i = 0; i < rows; i++)
            (p->nhwc ? channel_store_nhwc : channel_store_nchw)(
                p, s->outputs + i * pitch, cols, 1, kept, out + i * u->to.row);
    }
    v_store(lanes, any);
    for (ptrdiff_t i = 0; i < kept; i++)
        if (lanes[i] != 0) {
            winograd_repair(u, s->unsafe, v_load(bias), k, kept, scheme);
            break;
        }
}
