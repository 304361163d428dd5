/* The gradient of a 3x3 convolution of stride 1 by its weights, by the transforms of its F(4x4, 3x3)
 * turned around (winograd_transform.h): with V = B^T x B of a patch of input and U = A dy A^T of the
 * tile of outputs that sees it,
 *
 *     dw = G^T [sum over all tiles of V * U, point by point] G,
 *
 * 36 multiplications for the 144 of a tile. The sums of a point are a matrix product whose terms are
 * tiles: input channels by output channels in the lanes, for which the register tile of
 * conv_direct_channel.h takes channels as pixels and tiles as taps.
 *
 * A unit is a block of output channels of a group, and a part of the samples. As in
 * conv_weight_grad.h the sum of a block of tiles begins with 0 and is added to those of the blocks
 * before it, `parts` results stand in `out` one after the other, and what is cut follows from the
 * geometry alone.
 *
 * What is not finite, or overflows, spoils all taps of its channels: the caller, who sees it in the
 * results, takes conv_weight_grad.h then. */

#define WINOGRAD_GRADIENT_SIDE 6

struct winograd_gradient {
    struct winograd_scratch s; /* its product holds the transformed dy, its bias zeros */
    ptrdiff_t *tap;
    real *tile, *sums; /* of one register tile; of all points: [tile of channels][point][c][k] */
};

static struct winograd_block winograd_gradient_block(const struct fc_conv2d *p)
{
    return winograd_block(p, p->block_rows / winograd_m_rows(WINOGRAD_GRADIENT_SIDE), p->block_cols,
                          WINOGRAD_GRADIENT_SIDE);
}

/* The sums of a tile of output channels. */
FC_INLINE ptrdiff_t winograd_gradient_stretch(const struct fc_conv2d *p)
{
    return winograd_points(WINOGRAD_GRADIENT_SIDE) * p->c * WINOGRAD_K;
}

#define WINOGRAD_GRADIENT_AREAS(X)                                                                 \
    X(tap, b.tiles)                                                                                \
    X(tile, CHANNEL_TILE)                                                                          \
    X(sums, gradient_tiles(FC_MIN(p->block_k, p->k)) * winograd_gradient_stretch(p))

FC_SMALL size_t conv_winograd_weight_grad_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct winograd_block b = winograd_gradient_block(p);
#define WINOGRAD_GRADIENT_TAKEN(name, count) \
    +taken(count, sizeof *((struct winograd_gradient *)0)->name)
    return winograd_scratch(p, WINOGRAD_GRADIENT_SIDE)
        WINOGRAD_GRADIENT_AREAS(WINOGRAD_GRADIENT_TAKEN);
}

static ptrdiff_t conv_winograd_weight_grad_units(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->parts * p->groups * ceil_div(p->k, p->block_k);
}

/* The blocks of tiles, whose rows are counted through all samples. */
FC_INLINE ptrdiff_t winograd_gradient_blocks(const struct fc_conv2d *p)
{
    const ptrdiff_t rows = p->n * winograd_rows(p, WINOGRAD_GRADIENT_SIDE);
    return ceil_div(rows, p->block_rows / winograd_m_rows(WINOGRAD_GRADIENT_SIDE)) *
           ceil_div(p->ow, p->block_cols);
}

/* A run of rows of tiles of dy, of `kept` channels from dy on: [row][column][LANES], with zeros around. */
static void winograd_gather_dy(const struct winograd_unit *u, const struct winograd_run *run, const real *dy,
                               ptrdiff_t kept, real *dst)
{
    const int m = winograd_m_rows(WINOGRAD_GRADIENT_SIDE);
    const ptrdiff_t all = u->block.cols * m, pitch = u->block.pixels;
    (u->p->nhwc ? winograd_gather_nhwc : winograd_gather_nchw)(
        &u->to, dy, run->height, u->cols, kept, dst, pitch);
    for (ptrdiff_t i = 0; i < run->rows * m; i++, dst += pitch) {
        const ptrdiff_t cols = i < run->height ? u->cols : 0;
        memset(dst + cols * LANES, 0, (size_t)((all - cols) * LANES) * sizeof(real));
    }
}

/* Transform a tile of dy; dst is its place in plane 0. */
FC_INLINE void winograd_dy_tile(const struct winograd_block *b, const real *from, real *dst)
{
    const int side = WINOGRAD_GRADIENT_SIDE, m = winograd_m_rows(WINOGRAD_GRADIENT_SIDE);
    real half[WINOGRAD_POINTS * LANES];
    vec d[WINOGRAD_SIDE];
    winograd_columns(winograd_dy_side, from, b->pixels, LANES, m, side, half, side);
    for (int i = 0; i < side; i++, dst += side * b->product) {
        winograd_load(half + i * m * LANES, LANES, m, d);
        winograd_dy_side(d, side, side);
        FC_UNROLL for (int j = 0; j < side; j++)
            v_store(dst + j * b->product, d[j]);
    }
}

/* The block's dy of the nv vectors of output channels from k on: [point][tile][k]. */
static void winograd_dy(const struct winograd_unit *u, const struct winograd_scratch *s, ptrdiff_t k,
                        int nv)
{
    const struct winograd_block *const b = &u->block;
    const int m = winograd_m_rows(WINOGRAD_GRADIENT_SIDE);
    struct winograd_run run;
    for (ptrdiff_t r = 0; r < b->rows; r += run.rows) {
        const real *dy;
        run = winograd_run(u, r, WINOGRAD_GRADIENT_SIDE);
        dy = (const real *)u->p->dy + output_slice(u->p, &u->to, run.n) + u->g * u->to.group +
             k * u->to.channel + run.y * u->to.row + u->x0 * u->to.pixel;
        for (int v = 0; v < nv; v++) {
            const ptrdiff_t kept = FC_MIN(LANES, u->k1 - k - v * LANES), tiles = run.rows * b->cols;
            const real *const x = dy + v * LANES * u->to.channel;
            struct winograd_ahead ahead = {.rows = 0};
            if (!u->p->nhwc)
                ahead = winograd_ahead(&u->to, x, run.height, u->cols, tiles);
            winograd_gather_dy(u, &run, x, kept, s->pixels);
            for (ptrdiff_t tile = 0; tile < tiles; tile++) {
                winograd_fetch(&ahead, tile);
                winograd_dy_tile(b, s->pixels + winograd_tile_at(b, tile, m),
                                 s->product + ((r * b->cols + tile) * nv + v) * LANES);
            }
        }
    }
}

/* Add the block's products of one tile of output channels to their sums. */
static void winograd_gradient_sums(const struct winograd_unit *u, const struct winograd_gradient *w,
                                   int nv, real *sums)
{
    const struct winograd_block *const b = &u->block;
    const ptrdiff_t c = u->p->c, width = nv * LANES;
    struct channel_tile t = {.bias = w->s.bias, .sums = w->tile, .sums_pitch = width, .tap = w->tap,
                             .taps = b->tiles, .c = 1};
    for (ptrdiff_t point = 0; point < winograd_points(WINOGRAD_GRADIENT_SIDE); point++) {
        t.weight = t.ahead = w->s.product + point * b->product;
        for (ptrdiff_t i = 0, n; i < c; i += n, sums += n * width) {
            n = FC_MIN(channel_run(c), c - i);
            n -= CHANNEL_LEFT_OUT(n);
            t.x = w->s.input + point * b->input + i;
            channel_tiles[n - 1][1][nv - 1](&t);
            for (ptrdiff_t j = 0; j < n * width; j += LANES)
                v_store(sums + j, v_add(v_load(sums + j), v_load(t.sums + j)));
        }
    }
}

/* The sums of LANES output channels and one input channel, transformed back: [tap][LANES]. */
FC_INLINE void winograd_gradient_taps(const real *sums, ptrdiff_t point, real *taps)
{
    const int side = WINOGRAD_GRADIENT_SIDE;
    real half[3 * WINOGRAD_SIDE * LANES];
    vec d[WINOGRAD_SIDE];
    winograd_columns(winograd_weight_side, sums, side * point, point, side, 3, half, side);
    for (int i = 0; i < 3; i++) {
        winograd_load(half + i * side * LANES, LANES, side, d);
        winograd_weight_side(d, 3, side);
        FC_UNROLL for (int j = 0; j < 3; j++)
            v_store(taps + (i * 3 + j) * LANES, d[j]);
    }
}

/* The sums to their places in the weights' order. */
static void winograd_gradient_store(const struct winograd_unit *u, ptrdiff_t part, const real *sums)
{
    enum { CHANNELS = 8 }; /* at a time */
    const struct fc_conv2d *const p = u->p;
    real *const out = (real *)p->out + ((part * p->groups + u->g) * p->k + u->k0) * p->c * 9;
    for (ptrdiff_t k = 0; k < u->k1 - u->k0; k += LANES) {
        const ptrdiff_t tile = k / WINOGRAD_K, first = tile * WINOGRAD_K;
        const ptrdiff_t width = channel_vectors(u->k1 - u->k0 - first) * LANES;
        const real *const from = sums + tile * winograd_gradient_stretch(p) + k - first;
        for (ptrdiff_t c = 0, n; c < p->c; c += n) {
            real taps[CHANNELS * 9 * LANES];
            n = FC_MIN(CHANNELS, p->c - c);
            for (ptrdiff_t i = 0; i < n; i++)
                winograd_gradient_taps(from + (c + i) * width, p->c * width, taps + i * 9 * LANES);
            transpose_lines(out + (k * p->c + c) * 9, p->c * 9, n * 9, taps, LANES, n * 9,
                            FC_MIN(LANES, u->k1 - u->k0 - k));
        }
    }
}

/* Blocks [first, end) of tiles. */
static void winograd_gradient_part(struct winograd_unit *u, const struct winograd_gradient *w,
                                   ptrdiff_t first, ptrdiff_t end)
{
    const struct fc_conv2d *const p = u->p;
    const int m = winograd_m_rows(WINOGRAD_GRADIENT_SIDE);
    const ptrdiff_t across = ceil_div(p->ow, p->block_cols), block_rows = p->block_rows / m;
    const ptrdiff_t all_rows = p->n * winograd_rows(p, WINOGRAD_GRADIENT_SIDE);
    for (ptrdiff_t block = first; block < end; block++) {
        u->x0 = block % across * p->block_cols;
        u->r0 = block / across * block_rows;
        u->cols = FC_MIN(p->block_cols, p->ow - u->x0);
        u->block = winograd_block(p, FC_MIN(block_rows, all_rows - u->r0), u->cols,
                                  WINOGRAD_GRADIENT_SIDE);
        winograd_input(u, &w->s, WINOGRAD_GRADIENT_SIDE);
        for (ptrdiff_t i = 0; i < u->block.tiles; i++)
            w->tap[i] = i * u->block.tile;
        for (ptrdiff_t k = u->k0; k < u->k1; k += WINOGRAD_K) {
            const int nv = channel_vectors(u->k1 - k);
            winograd_dy(u, &w->s, k, nv);
            winograd_gradient_sums(u, w, nv, w->sums + (k - u->k0) / WINOGRAD_K *
                                                           winograd_gradient_stretch(p));
        }
    }
}

static void conv_winograd_weight_grad(const void *params, ptrdiff_t begin, ptrdiff_t end,
                                      void *scratch)
{
    const struct fc_conv2d *p = params;
    const struct winograd_block b = winograd_gradient_block(p);
    const ptrdiff_t blocks = winograd_gradient_blocks(p), blocks_k = ceil_div(p->k, p->block_k);
    char *area = (char *)scratch + winograd_scratch(p, WINOGRAD_GRADIENT_SIDE);
    struct winograd_gradient w = {.s = winograd_take(&b, WINOGRAD_GRADIENT_SIDE, scratch)};
#define WINOGRAD_GRADIENT_TAKE(name, count) w.name = take(&area, count, sizeof *w.name);
    WINOGRAD_GRADIENT_AREAS(WINOGRAD_GRADIENT_TAKE)
    memset(w.s.bias, 0, WINOGRAD_K * sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t part = unit / blocks_k / p->groups;
        struct winograd_unit u = {.p = p, .from = input_steps(p), .to = output_steps(p)};
        u.g = unit / blocks_k % p->groups;
        u.k0 = unit % blocks_k * p->block_k;
        u.k1 = FC_MIN(u.k0 + p->block_k, p->k);
        u.seen_rows = p->oh + 2 - p->top;
        u.seen_cols = p->ow + 2 - p->left;
        memset(w.sums, 0, (size_t)(gradient_tiles(u.k1 - u.k0) * winograd_gradient_stretch(p)) *
                              sizeof(real));
        winograd_gradient_part(&u, &w, blocks * part / p->parts, blocks * (part + 1) / p->parts);
        winograd_gradient_store(&u, part, w.sums);
    }
}
