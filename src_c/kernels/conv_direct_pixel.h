/* Direct convolution with pixels in the lanes, for NCHW.
 *
 * A unit is a block of output rows and columns, and of output channels, of one sample and group. It
 * copies the input that they see into a panel (panel_nchw.h); register tiles of MR output channels
 * by NV vectors of flat positions run over it. Terms are summed by channel, tap row, tap column,
 * whatever the blocks are: a block of channels hands its sums to the next one as they are, in the
 * same precision.
 *
 * Bound by arithmetic: per MR * NV multiply-adds, MR broadcasts and NV loads (most cross a line and
 * take two load slots). 8 x 3 needs 14 slots for 24 (two of each per cycle on current processors). */

#define PIXEL_MAX_TILE 8

/* What one register tile needs to know. */
struct pixel_tile {
    const real *x, *weight, *bias;
    const real *sum; /* sums to continue, or NULL to start from the bias */
    real *out;
    const ptrdiff_t *tap;
    ptrdiff_t taps, c, channel, sum_pitch, out_pitch;
    int activation, stream;
};

FC_INLINE void pixel_tile(const struct pixel_tile *t, const int mr, const int nv)
{
    vec acc[PIXEL_MAX_TILE][PIXEL_MAX_TILE];
    const real *x = t->x, *w = t->weight;
    const ptrdiff_t taps = t->taps;

    FC_UNROLL for (int m = 0; m < mr; m++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[m][v] = t->sum ? v_load(t->sum + m * t->sum_pitch + v * LANES)
                               : v_set1(t->bias[m]);
    for (ptrdiff_t c = t->c; c > 0; c--, x += t->channel) {
        for (ptrdiff_t k = 0; k < taps; k++, w += mr) {
            const real *const at = x + t->tap[k];
            vec pixels[PIXEL_MAX_TILE];
            FC_UNROLL for (int v = 0; v < nv; v++)
                pixels[v] = v_load(at + v * LANES);
            FC_UNROLL for (int m = 0; m < mr; m++) {
                const vec weight = v_set1(w[m]);
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[m][v] = v_fma(weight, pixels[v], acc[m][v]);
            }
        }
    }
    FC_UNROLL for (int m = 0; m < mr; m++)
        FC_UNROLL for (int v = 0; v < nv; v++) {
            real *const out = t->out + m * t->out_pitch + v * LANES;
            const vec y = activate(acc[m][v], t->activation);
            if (t->stream)
                v_stream(out, y);
            else
                v_store(out, y);
        }
}

/* A wide tile for the bulk and a narrow one for the rest, for each number of output channels. */
#if VEC_REGS == 32
#define PIXEL_TILES(X) X(1, 8, 2) X(2, 8, 2) X(4, 6, 2) X(8, 3, 1)
#define PIXEL_TILE_K 8
#else
#define PIXEL_TILES(X) X(1, 8, 2) X(2, 5, 1) X(4, 3, 1)
#define PIXEL_TILE_K 4
#endif

#define PIXEL_TILE_FUNCTIONS(mr, wide, narrow)                                                 \
    static void pixel_wide_##mr(const struct pixel_tile *t) { pixel_tile(t, mr, wide); }       \
    static void pixel_narrow_##mr(const struct pixel_tile *t) { pixel_tile(t, mr, narrow); }
PIXEL_TILES(PIXEL_TILE_FUNCTIONS)

static const struct {
    int mr, wide, narrow;
    void (*run_wide)(const struct pixel_tile *), (*run_narrow)(const struct pixel_tile *);
} pixel_tiles[] = {
#define PIXEL_TILE_ROW(mr, wide, narrow) {mr, wide, narrow, pixel_wide_##mr, pixel_narrow_##mr},
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
            for (ptrdiff_t i = 0; i < terms; i++)
                for (ptrdiff_t m = 0; m < mr; m++)
                    *dst++ = k + m < p->k ? weight[(k + m) * terms + i] : 0;
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

static size_t conv_direct_pixel_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct nchw_panel panel = nchw_panel(p, p->block_rows, p->block_cols);
    const ptrdiff_t sums = p->block_c < p->c
                               ? pixel_packed_k(p->block_k) * odd_lines(panel.flat + 2 * LANES)
                               : 0;
    return taken(p->kh * p->kw, sizeof(ptrdiff_t)) +
           taken(PIXEL_MAX_TILE * PIXEL_MAX_TILE, sizeof(vec)) +
           taken(nchw_row(p, &panel), sizeof(real)) +
           taken(p->block_c * panel.channel, sizeof(real)) + taken(sums, sizeof(real));
}

/* Does the end of a row, `rest` outputs, go up in one or two narrow tiles? Then all its outputs are
 * stored where they belong; otherwise wide tiles run on into the next row. */
FC_INLINE int pixel_row_ends_even(ptrdiff_t rest, ptrdiff_t narrow)
{
    return rest % narrow == 0 && rest <= 2 * narrow;
}

/* All tiles of one panel for one tile of output channels, k of them real. */
static void pixel_row_of_tiles(const struct fc_conv2d *p, const struct nchw_panel *panel,
                               struct pixel_tile *t, int tile, ptrdiff_t k, ptrdiff_t cols,
                               const real *x, real *sums, int first, int last, real *out,
                               real *line)
{
    const ptrdiff_t plane = p->oh * p->ow;
    const ptrdiff_t wide = pixel_tiles[tile].wide * LANES, narrow = pixel_tiles[tile].narrow * LANES;
    const int by_row = pixel_row_ends_even(cols % wide, narrow);
    const ptrdiff_t end = by_row ? panel->flat : round_up(panel->flat, narrow);
    ptrdiff_t count;

    t->activation = last ? tile_activation(p) : FC_LINEAR;
    for (ptrdiff_t at = 0; at < end; at += count) {
        const ptrdiff_t col = at % panel->pitch;
        const int fits = by_row ? col + wide <= cols : at + wide <= end;
        int direct;
        count = fits ? wide : narrow;
        direct = last && k == pixel_tiles[tile].mr && col + count <= cols;
        t->x = x + at;
        t->sum = first ? NULL : sums + at;
        t->out = !last ? sums + at : direct ? out + at / panel->pitch * p->ow + col : line;
        t->out_pitch = !last ? t->sum_pitch : direct ? plane : count;
        t->stream = direct && p->stream && (uintptr_t)t->out % 64 == 0 &&
                    plane * (ptrdiff_t)sizeof(real) % 64 == 0;
        (fits ? pixel_tiles[tile].run_wide : pixel_tiles[tile].run_narrow)(t);
        if (last && !direct)
            for (ptrdiff_t m = 0; m < k; m++)
                nchw_scatter(out + m * plane, p->ow, line + m * count, at,
                             FC_MIN(count, panel->flat - at), panel->pitch, cols);
        if (by_row && col + count == cols)
            count += panel->pitch - cols; /* nothing to compute between two rows */
    }
}

static void pixel_unit(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t g, ptrdiff_t k0,
                       ptrdiff_t y0, ptrdiff_t x0, char *scratch)
{
    const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0), cols = FC_MIN(p->block_cols, p->ow - x0);
    const ptrdiff_t k1 = FC_MIN(k0 + p->block_k, p->k), terms = p->c * p->kh * p->kw;
    const struct nchw_panel panel = nchw_panel(p, rows, cols);
    ptrdiff_t *const tap = take(&scratch, p->kh * p->kw, sizeof *tap);
    real *const line = take(&scratch, PIXEL_MAX_TILE * PIXEL_MAX_TILE, sizeof(vec));
    real *const row = take(&scratch, nchw_row(p, &panel), sizeof(real));
    real *const input = take(&scratch, p->block_c * panel.channel, sizeof(real));
    real *const sums = (real *)scratch;
    const real *const x = (const real *)p->x + (n * p->groups + g) * p->c * p->h * p->w;
    real *const out = (real *)p->out + ((n * p->groups + g) * p->k * p->oh + y0) * p->ow + x0;
    const real *const weight = (const real *)p->weight + g * pixel_packed_k(p->k) * terms;
    struct pixel_tile t = {.tap = tap, .taps = p->kh * p->kw, .channel = panel.channel};

    t.sum_pitch = odd_lines(panel.flat + 2 * LANES);
    for (ptrdiff_t r = 0; r < p->kh; r++)
        for (ptrdiff_t s = 0; s < p->kw; s++)
            tap[r * p->kw + s] = nchw_tap(p, &panel, r, s);
    for (ptrdiff_t c0 = 0; c0 < p->c; c0 += p->block_c) {
        t.c = FC_MIN(p->block_c, p->c - c0);
        nchw_fill(p, &panel, input, row, x + c0 * p->h * p->w, t.c, y0, x0);
        for (ptrdiff_t k = k0, tile; k < k1; k += pixel_tiles[tile].mr) {
            const ptrdiff_t kept = FC_MIN(k1 - k, PIXEL_TILE_K);
            real bias[PIXEL_MAX_TILE] = {0};
            tile = pixel_tile_for(kept);
            if (p->bias)
                memcpy(bias, (const real *)p->bias + g * p->k + k, (size_t)kept * sizeof(real));
            t.bias = bias;
            t.weight = weight + k * terms + c0 * t.taps * pixel_tiles[tile].mr;
            pixel_row_of_tiles(p, &panel, &t, (int)tile, kept, cols, input,
                               sums + (k - k0) * t.sum_pitch, c0 == 0, c0 + t.c == p->c,
                               out + k * p->oh * p->ow, line);
            if (c0 + t.c == p->c)
                finish_planes(p, (n * p->groups + g) * p->k + k, kept, y0, rows, x0, cols);
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
        const ptrdiff_t bx = rest % blocks_x, by = (rest /= blocks_x) % blocks_y;
        const ptrdiff_t bk = (rest /= blocks_y) % blocks_k, g = (rest /= blocks_k) % p->groups;
        pixel_unit(p, rest / p->groups, g, bk * p->block_k, by * p->block_rows,
                   bx * p->block_cols, scratch);
    }
    v_stream_end();
}
