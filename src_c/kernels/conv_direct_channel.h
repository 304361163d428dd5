/* Direct convolution with output channels in the lanes, for NHWC.
 *
 * A register tile is CHANNEL_PIXELS output pixels by NV vectors of output channels; the pixels need
 * not be neighbours, each has its own pointer into the input rows. Terms are summed by tap row, tap
 * column, channel.
 *
 * Bound by arithmetic: per CHANNEL_PIXELS * NV multiply-adds one broadcast per pixel and NV aligned
 * loads of packed weights: 7 x 4 needs 11 load slots for 28. */

#if VEC_REGS == 32
#define CHANNEL_PIXELS 7
#define CHANNEL_VECTORS 4
#else
#define CHANNEL_PIXELS 6
#define CHANNEL_VECTORS 2
#endif

struct channel_tile {
    const real *pixel[CHANNEL_PIXELS];
    real *out[CHANNEL_PIXELS];
    const real *weight, *bias;
    ptrdiff_t kh, kw, c, step_row, step_col; /* elements from one tap to the next */
    ptrdiff_t kept;                          /* output channels to store */
    int pixels, activation;
};

FC_INLINE void channel_tile(const struct channel_tile *t, const int nv)
{
    vec acc[CHANNEL_PIXELS][CHANNEL_VECTORS];
    const real *w = t->weight;

    FC_UNROLL for (int i = 0; i < CHANNEL_PIXELS; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[i][v] = v_load(t->bias + v * LANES);
    for (ptrdiff_t r = 0; r < t->kh; r++) {
        for (ptrdiff_t s = 0; s < t->kw; s++) {
            const ptrdiff_t tap = r * t->step_row + s * t->step_col;
            for (ptrdiff_t c = tap; c < tap + t->c; c++, w += nv * LANES) {
                vec weight[CHANNEL_VECTORS];
                FC_UNROLL for (int v = 0; v < nv; v++)
                    weight[v] = v_load(w + v * LANES);
                FC_UNROLL for (int i = 0; i < CHANNEL_PIXELS; i++) {
                    const vec x = v_set1(t->pixel[i][c]);
                    FC_UNROLL for (int v = 0; v < nv; v++)
                        acc[i][v] = v_fma(x, weight[v], acc[i][v]);
                }
            }
        }
    }
    FC_UNROLL for (int i = 0; i < CHANNEL_PIXELS; i++) {
        if (i == t->pixels)
            break;
        FC_UNROLL for (int v = 0; v < nv; v++) {
            const ptrdiff_t kept = t->kept - v * LANES;
            const vec y = activate(acc[i][v], t->activation);
            if (kept >= LANES)
                v_store(t->out[i] + v * LANES, y);
            else if (kept > 0)
                v_store_n(t->out[i] + v * LANES, y, kept);
        }
    }
}

static void channel_tile_1(const struct channel_tile *t) { channel_tile(t, 1); }
static void channel_tile_2(const struct channel_tile *t) { channel_tile(t, 2); }
#if CHANNEL_VECTORS == 4
static void channel_tile_4(const struct channel_tile *t) { channel_tile(t, 4); }
#endif

/* Vectors of the tile that takes the next k output channels. */
FC_INLINE int channel_vectors(ptrdiff_t k)
{
    return k > 2 * LANES ? CHANNEL_VECTORS : k > LANES ? 2 : 1;
}

/* Packed weights: for each group and each tile of output channels, [kh][kw][c][channels]. */
static ptrdiff_t channel_packed_k(ptrdiff_t k)
{
    ptrdiff_t packed = 0;
    while (packed < k)
        packed += channel_vectors(k - packed) * LANES;
    return packed;
}

static ptrdiff_t conv_direct_channel_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * channel_packed_k(p->k) * p->c * p->kh * p->kw;
}

static void conv_direct_channel_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t taps = p->kh * p->kw, terms = p->c * taps;
    const real *weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t g = 0; g < p->groups; g++, weight += p->k * terms) {
        ptrdiff_t width;
        for (ptrdiff_t k = 0; k < p->k; k += width) {
            width = channel_vectors(p->k - k) * LANES;
            for (ptrdiff_t i = 0; i < taps; i++)
                for (ptrdiff_t c = 0; c < p->c; c++)
                    for (ptrdiff_t j = 0; j < width; j++)
                        *dst++ = k + j < p->k ? weight[(k + j) * terms + c * taps + i] : 0;
        }
    }
}

static ptrdiff_t conv_direct_channel_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->block_rows > 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->n * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->oh, p->block_rows);
}

static size_t conv_direct_channel_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    return taken(nhwc_scratch(p, p->c), sizeof(real)) +
           taken(CHANNEL_VECTORS * LANES, sizeof(real));
}

static void channel_unit(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t g, ptrdiff_t k0,
                         ptrdiff_t y0, char *scratch)
{
    const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0), outputs = rows * p->ow;
    const ptrdiff_t all_k = p->groups * p->k, terms = p->c * p->kh * p->kw;
    const ptrdiff_t k1 = FC_MIN(k0 + p->block_k, p->k);
    real *const bias = take(&scratch, CHANNEL_VECTORS * LANES, sizeof(real));
    const struct nhwc_rows in = nhwc_rows(p, n, g * p->c, p->c, y0, rows, (real *)scratch);
    real *const out = (real *)p->out + (n * p->oh + y0) * p->ow * all_k + g * p->k;
    const real *const weight = (const real *)p->weight + g * channel_packed_k(p->k) * terms;
    struct channel_tile t = {.bias = bias, .kh = p->kh, .kw = p->kw, .c = p->c,
                             .step_row = p->dilation_h * in.row,
                             .step_col = p->dilation_w * in.pixel, .activation = tile_activation(p)};
    int nv;

    for (ptrdiff_t k = k0; k < k1; k += nv * LANES) {
        nv = channel_vectors(k1 - k);
        t.kept = FC_MIN(k1 - k, nv * LANES);
        t.weight = weight + k * terms;
        memset(bias, 0, (size_t)(nv * LANES) * sizeof(real));
        if (p->bias)
            memcpy(bias, (const real *)p->bias + g * p->k + k, (size_t)t.kept * sizeof(real));
        for (ptrdiff_t at = 0; at < outputs; at += CHANNEL_PIXELS) {
            t.pixels = (int)FC_MIN(outputs - at, CHANNEL_PIXELS);
            for (int i = 0; i < CHANNEL_PIXELS; i++) {
                /* A tile with pixels to spare computes its last one again and drops it. */
                const ptrdiff_t q = at + FC_MIN(i, t.pixels - 1), y = q / p->ow, x = q % p->ow;
                t.pixel[i] = in.first + y * p->stride_h * in.row + x * p->stride_w * in.pixel;
                t.out[i] = out + q * all_k + k;
            }
            switch (nv) {
            case 1: channel_tile_1(&t); break;
            case 2: channel_tile_2(&t); break;
#if CHANNEL_VECTORS == 4
            case 4: channel_tile_4(&t); break;
#endif
            }
            finish_pixels(p, (n * p->oh + y0) * p->ow + at, t.pixels, g * p->k + k, t.kept);
        }
    }
}

static void conv_direct_channel(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        const ptrdiff_t by = rest % blocks_y, bk = (rest /= blocks_y) % blocks_k;
        const ptrdiff_t g = (rest /= blocks_k) % p->groups;
        channel_unit(p, rest / p->groups, g, bk * p->block_k, by * p->block_rows, scratch);
    }
}
