/* Direct convolution with pixels in the lanes, for NCHW.
 *
 * A unit is a block of output rows and columns, and of output channels, of one sample and group. It
 * copies the input that they see into a panel (panel_nchw.h). Each row of the block is cut into
 * vectors, the last of which may overlap the one before; a register tile is MR output channels by NV
 * of the block's vectors, which need not be neighbours. Terms are summed by channel, tap row, tap
 * column, whatever the blocks are: a block of channels hands its sums to the next one as they are,
 * in the same precision.
 *
 * Bound by arithmetic: per MR * NV multiply-adds, MR broadcasts and NV loads (most cross a line and
 * take two load slots). 8 x 3 needs 14 slots for 24 (two of each per cycle on current processors). Of one
 * output channel, pixels are loaded once for several rows of outputs that see them (pixel_rows). */

#define PIXEL_MAX_VECTORS 8

/* What one register tile needs to know. */
struct pixel_tile {
    const real *x[PIXEL_MAX_VECTORS];
    const real *sum[PIXEL_MAX_VECTORS]; /* to continue; but the first sums begin with the bias */
    real *out[PIXEL_MAX_VECTORS];       /* the last sums go to the result */
    const real *weight, *bias;
    const ptrdiff_t *tap;
    ptrdiff_t taps, c, channel; /* elements from one channel to the next */
    ptrdiff_t sum_pitch, out_pitch;
    ptrdiff_t k, kept; /* output channels, and lanes, that the result takes, */
    int whole;         /* and whether that is all of them */
    int activation, stream, first, last;
};

FC_INLINE void pixel_tile(const struct pixel_tile *t, const int mr, const int nv)
{
    vec acc[8][PIXEL_MAX_VECTORS];
    const real *x[PIXEL_MAX_VECTORS], *w = t->weight;
    real *out[PIXEL_MAX_VECTORS];
    const ptrdiff_t taps = t->taps, pitch = t->out_pitch;

    FC_UNROLL for (int v = 0; v < nv; v++) {
        x[v] = t->x[v];
        out[v] = t->out[v];
    }
    FC_UNROLL for (int m = 0; m < mr; m++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = t->first ? v_set1(t->bias[m])
                                 : v_load(t->sum[v] + m * t->sum_pitch);
    for (ptrdiff_t c = 0; c < t->c; c++)
        for (ptrdiff_t k = 0; k < taps; k++, w += mr) {
            const ptrdiff_t at = c * t->channel + t->tap[k];
            vec pixels[PIXEL_MAX_VECTORS];
            FC_UNROLL for (int v = 0; v < nv; v++)
                pixels[v] = v_load(x[v] + at);
            FC_UNROLL for (int m = 0; m < mr; m++) {
                const vec weight = v_set1(w[m]);
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[m][v] = v_fma(weight, pixels[v], acc[m][v]);
            }
        }
    if (t->last && t->activation != FC_LINEAR)
        FC_UNROLL for (int m = 0; m < mr; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[m][v] = activate(acc[m][v], t->activation);
    if (!t->last || t->whole) {
        FC_UNROLL for (int m = 0; m < mr; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                v_store(out[v] + m * pitch, acc[m][v]);
    } else if (t->stream) {
        FC_UNROLL for (int m = 0; m < mr; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                v_stream(out[v] + m * pitch, acc[m][v]);
    } else {
        FC_UNROLL for (int m = 0; m < mr; m++) {
            if (m == t->k)
                break;
            FC_UNROLL for (int v = 0; v < nv; v++)
                if (t->kept == LANES)
                    v_store(out[v] + m * pitch, acc[m][v]);
                else
                    v_store_n(out[v] + m * pitch, acc[m][v], t->kept);
        }
    }
}

/* Output channels of a tile, and its vectors: the most, and one and two for the rest. */
#if VEC_REGS == 32
#define PIXEL_TILES(X) X(1, 8) X(2, 8) X(4, 6) X(8, 3)
#define PIXEL_TILE_K 8
#elif LANES > 1
#define PIXEL_TILES(X) X(1, 8) X(2, 5) X(4, 3)
#define PIXEL_TILE_K 4
#else
#define PIXEL_TILES(X) X(1, 8) X(2, 5)
#define PIXEL_TILE_K 2
#endif

#define PIXEL_TILE_FUNCTIONS(mr, most)                                                         \
    static void pixel_tile_##mr(const struct pixel_tile *t, ptrdiff_t nv)                      \
    {                                                                                          \
        if (nv == most)                                                                        \
            pixel_tile(t, mr, most);                                                           \
        else if (nv == 2)                                                                      \
            pixel_tile(t, mr, 2);                                                              \
        else                                                                                   \
            pixel_tile(t, mr, 1);                                                              \
    }
PIXEL_TILES(PIXEL_TILE_FUNCTIONS)

static const struct {
    int mr, most;
    void (*run)(const struct pixel_tile *, ptrdiff_t nv);
} pixel_tiles[] = {
#define PIXEL_TILE_ROW(mr, most) {mr, most, pixel_tile_##mr},
    PIXEL_TILES(PIXEL_TILE_ROW)
};

/* The narrowest tile that holds k output channels, or the widest there is. */
FC_INLINE int pixel_tile_for(ptrdiff_t k)
{
    int i = 0;
    while (pixel_tiles[i].mr < k && pixel_tiles[i].mr < PIXEL_TILE_K)
        i++;
    return i;
}

/* Packed weights: for each group and each tile of output channels, [c][kh][kw][mr]. */
static ptrdiff_t pixel_packed_k(ptrdiff_t k)
{
    const ptrdiff_t rest = k % PIXEL_TILE_K;
    return k - rest + (rest ? pixel_tiles[pixel_tile_for(rest)].mr : 0);
}

static ptrdiff_t conv_direct_pixel_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * pixel_packed_k(p->k) * p->c * p->kh * p->kw;
}

static void conv_direct_pixel_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t terms = p->c * p->kh * p->kw;
    const real *weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t g = 0; g < p->groups; g++, weight += p->k * terms) {
        ptrdiff_t mr;
        for (ptrdiff_t k = 0; k < p->k; k += mr) {
            mr = pixel_tiles[pixel_tile_for(p->k - k)].mr;
            transpose_into(dst, mr, weight + k * terms, terms, p->k - k, terms);
            dst += terms * mr;
        }
    }
}

static ptrdiff_t conv_direct_pixel_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->block_rows > 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->n * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->oh, p->block_rows) *
           ceil_div(p->ow, p->block_cols);
}

/* Vectors that cover a row of a block. */
FC_INLINE ptrdiff_t pixel_vectors(ptrdiff_t cols) { return ceil_div(cols, LANES); }

FC_SMALL size_t conv_direct_pixel_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct nchw_panel panel = nchw_panel(p, p->block_rows, p->block_cols);
    const ptrdiff_t vectors = p->block_rows * pixel_vectors(p->block_cols);
    const ptrdiff_t sums = p->block_c < p->c ? pixel_packed_k(FC_MIN(p->block_k, p->k)) * vectors : 0;
    return taken(nchw_most_taps(p), sizeof(ptrdiff_t)) +
           taken(p->block_c * panel.channel, sizeof(real)) + taken(sums * LANES, sizeof(real));
}

/* A block of outputs. */
struct pixel_unit {
    ptrdiff_t n, g, k0, k1, y0, rows, x0, cols;
};

#if VEC_REGS == 32
/* Of one output channel, PIXEL_ROWS or twice as many neighbouring rows of outputs by two vectors of each, the
 * first one's at `left` and `right`: what a row shows goes to all of them that see it, to each in the order of
 * its taps. Adds to sums in memory: how those begin and end is the tile's. With 4 rows there are 8 sums or, as
 * few of them see the first and last rows, less: too few under way for the latency of a multiply-add. */
#define PIXEL_ROWS 4
FC_INLINE void pixel_rows(const struct pixel_tile *t, const real *left, const real *right, ptrdiff_t pitch,
                          ptrdiff_t kw, ptrdiff_t step, real *sums, const int rows, const int kh)
{
    vec acc[2 * PIXEL_ROWS][2];
    const real *weight = t->weight;
    FC_UNROLL for (int j = 0; j < rows; j++)
        FC_UNROLL for (int v = 0; v < 2; v++)
            acc[j][v] = v_load(sums + (2 * j + v) * LANES);
    for (ptrdiff_t c = 0; c < t->c; c++, left += t->channel, right += t->channel, weight += kh * kw)
        FC_UNROLL for (int i = 0; i < rows + kh - 1; i++) {
            const real *a = left + i * pitch, *b = right + i * pitch, *w = weight;
            for (ptrdiff_t s = 0; s < kw; s++, a += step, b += step, w++) {
                vec x = v_load(a), y = v_load(b);
                FC_KEEP(x);
                FC_KEEP(y);
                FC_UNROLL for (int j = FC_MAX(0, i - kh + 1); j < FC_MIN(rows, i + 1); j++) {
                    const vec each = v_set1(w[(i - j) * kw]);
                    acc[j][0] = v_fma(each, x, acc[j][0]);
                    acc[j][1] = v_fma(each, y, acc[j][1]);
                }
            }
        }
    FC_UNROLL for (int j = 0; j < rows; j++)
        FC_UNROLL for (int v = 0; v < 2; v++)
            v_store(sums + (2 * j + v) * LANES, acc[j][v]);
}

/* What sums begin with, and how they end: a tile of no channel, from some vectors to others. */
FC_NOINLINE void pixel_rows_pass(const struct pixel_tile *tile, real *const *from, real *const *to,
                                 ptrdiff_t count)
{
    enum { VECTORS = 2 * PIXEL_ROWS }; /* as many as pixel_tile_1 takes */
    struct pixel_tile t = *tile;
    t.c = 0;
    for (; count > 0; count -= VECTORS, from += VECTORS, to += VECTORS) {
        for (int v = 0; v < VECTORS; v++) {
            t.x[v] = t.sum[v] = from[v];
            t.out[v] = to[v];
        }
        pixel_tile_1(&t, VECTORS);
    }
}

/* Whole rows of outputs by such tiles; gives the first that is left. */
FC_NOINLINE ptrdiff_t pixel_run_rows(const struct fc_conv2d *p, const struct pixel_unit *u,
                                     const struct pixel_tile *t, const real *x, ptrdiff_t pitch, real *sums,
                                     real *out)
{
    const ptrdiff_t each = pixel_vectors(u->cols), last = u->cols - LANES;
    struct pixel_tile begin = *t, end = *t;
    real between[4 * PIXEL_ROWS * LANES], *sum[4 * PIXEL_ROWS], *here[4 * PIXEL_ROWS], *to[4 * PIXEL_ROWS];
    ptrdiff_t y = 0, rows;
    /* Rows of one vector, and kernels of one column, have loads to spare. */
    if (t->k > 1 || u->cols <= LANES || (p->kh != 3 && p->kh != 5) || p->kw == 1 ||
        p->stride_h > 1 || p->stride_w > 1 || p->dilation_h > 1)
        return 0;
    begin.last = end.first = 0;
    for (; y + PIXEL_ROWS <= u->rows; y += rows) {
        rows = u->rows - y >= 2 * PIXEL_ROWS ? 2 * PIXEL_ROWS : PIXEL_ROWS;
        for (ptrdiff_t i = 0; i < each; i += 2) {
            /* Where there is no second vector, the first one twice. */
            const ptrdiff_t column[] = {i, FC_MIN(i + 1, each - 1)};
            const ptrdiff_t at[] = {FC_MIN(column[0] * LANES, last), FC_MIN(column[1] * LANES, last)};
            const real *const left = x + y * pitch + at[0], *const right = x + y * pitch + at[1];
            for (ptrdiff_t v = 0; v < 2 * rows; v++) {
                const ptrdiff_t row = y + v / 2;
                sum[v] = sums + (row * each + column[v % 2]) * LANES;
                here[v] = between + v * LANES;
                to[v] = t->last ? out + row * p->ow + at[v % 2] : sum[v];
            }
            pixel_rows_pass(&begin, sum, here, 2 * rows);
            if (p->kh == 3 && rows > PIXEL_ROWS)
                pixel_rows(t, left, right, pitch, p->kw, p->dilation_w, between, 2 * PIXEL_ROWS, 3);
            else if (p->kh == 3)
                pixel_rows(t, left, right, pitch, p->kw, p->dilation_w, between, PIXEL_ROWS, 3);
            else if (rows > PIXEL_ROWS)
                pixel_rows(t, left, right, pitch, p->kw, p->dilation_w, between, 2 * PIXEL_ROWS, 5);
            else
                pixel_rows(t, left, right, pitch, p->kw, p->dilation_w, between, PIXEL_ROWS, 5);
            pixel_rows_pass(&end, here, to, 2 * rows);
        }
    }
    return y;
}
#endif

/* All tiles of a block for one tile of output channels. */
static void pixel_run_tiles(const struct fc_conv2d *p, const struct pixel_unit *u,
                            struct pixel_tile *t, int tile, const real *x, ptrdiff_t pitch,
                            real *sums, real *out)
{
    const ptrdiff_t most = pixel_tiles[tile].most, each = pixel_vectors(u->cols);
    ptrdiff_t y = 0, i = 0, nv;

    t->kept = FC_MIN(LANES, u->cols);
    t->stream = p->stream && t->k == pixel_tiles[tile].mr && (uintptr_t)out % 64 == 0 &&
                u->cols % LANES == 0 && p->ow * (ptrdiff_t)sizeof(real) % 64 == 0;
    t->whole = !t->stream && t->k == pixel_tiles[tile].mr && t->kept == LANES;
    t->out_pitch = t->last ? output_steps(p).channel : t->sum_pitch;
#if VEC_REGS == 32
    y = pixel_run_rows(p, u, t, x, pitch, sums, out);
    sums += y * each * LANES;
#endif
    for (ptrdiff_t left = (u->rows - y) * each; left > 0; left -= nv) {
        nv = left >= most && left != most + 1 ? most : FC_MIN(2, left);
        for (ptrdiff_t v = 0; v < nv; v++, sums += LANES) {
            const ptrdiff_t at = FC_MIN(i * LANES, u->cols - t->kept);
            t->x[v] = x + y * pitch + at;
            t->sum[v] = sums;
            t->out[v] = t->last ? out + y * p->ow + at : sums;
            if (++i == each)
                i = 0, y++;
        }
        pixel_tiles[tile].run(t, nv);
    }
}

static void pixel_unit(const struct fc_conv2d *p, const struct pixel_unit *u, char *scratch)
{
    const struct nchw_panel panel = nchw_panel(p, u->rows, u->cols);
    const ptrdiff_t vectors = u->rows * pixel_vectors(u->cols);
    ptrdiff_t *const tap = take(&scratch, nchw_most_taps(p), sizeof *tap);
    real *const input = take(&scratch, p->block_c * panel.channel, sizeof(real));
    real *const sums = (real *)scratch;
    const struct steps to = output_steps(p);
    real *const out = (real *)p->out + output_slice(p, &to, u->n) + u->g * to.group +
                      u->y0 * p->ow + u->x0;
    const real *const weight = (const real *)p->weight +
                               u->g * pixel_packed_k(p->k) * p->c * p->kh * p->kw;
    struct pixel_tile t = {.tap = tap, .channel = panel.channel, .sum_pitch = vectors * LANES,
                           .activation = tile_activation(p)};

    for (ptrdiff_t c0 = 0, c; c0 < p->c; c0 += c) {
        c = FC_MIN(p->block_c, p->c - c0);
        t.first = c0 == 0;
        t.last = c0 + c == p->c;
        nchw_fill(p, &panel, input, u->n, u->g, c0, c0 + c, u->y0, u->x0);
        t.c = nchw_taps(p, &panel, c, tap, &t.taps);
        for (ptrdiff_t k = u->k0, tile; k < u->k1; k += pixel_tiles[tile].mr) {
            real bias[PIXEL_TILE_K] = {0};
            t.k = FC_MIN(u->k1 - k, PIXEL_TILE_K);
            tile = pixel_tile_for(t.k);
            if (p->bias)
                memcpy(bias, (const real *)p->bias + u->g * p->k + k, (size_t)t.k * sizeof(real));
            t.bias = bias;
            t.weight = weight + (k * p->c + c0 * pixel_tiles[tile].mr) * p->kh * p->kw;
            pixel_run_tiles(p, u, &t, (int)tile, input, panel.pitch,
                            sums + (k - u->k0) * t.sum_pitch, out + k * to.channel);
            if (t.last)
                finish_block(p, u->n, u->g * p->k + k, t.k, u->y0, u->rows, u->x0, u->cols);
        }
    }
}

static void conv_direct_pixel(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        const ptrdiff_t x0 = rest % blocks_x * p->block_cols;
        const ptrdiff_t y0 = (rest /= blocks_x) % blocks_y * p->block_rows;
        const ptrdiff_t k0 = (rest /= blocks_y) % blocks_k * p->block_k;
        const ptrdiff_t sample = rest / blocks_k;
        const struct pixel_unit u = {
            .n = sample / p->groups, .g = sample % p->groups,
            .k0 = k0, .k1 = FC_MIN(k0 + p->block_k, p->k),
            .y0 = y0, .rows = FC_MIN(p->block_rows, p->oh - y0),
            .x0 = x0, .cols = FC_MIN(p->block_cols, p->ow - x0),
        };
        pixel_unit(p, &u, scratch);
    }
    v_stream_end();
}
