/* Direct convolution with output channels in the lanes, for both layouts: NHWC, and those images in
 * NCHW whose rows would leave lanes of pixels empty.
 *
 * A unit is a block of output rows and columns, and of output channels, of one sample and group. Its
 * input stands in a panel with the padding around it (panel_nchw.h, rows_nhwc.h), or in the image
 * where no output sees padding (NHWC, and a matrix product in NCHW). Each row of the
 * block is cut into equal runs of at most CHANNEL_PIXELS neighbours, the last of which may overlap
 * the one before; a register tile is one run by CHANNEL_VECTORS vectors of output channels. Terms are
 * summed by channel, tap row, tap column, as in conv_direct_pixel.h: the results are the same, but for
 * the sign of a zero, since tap rows on padding are skipped.
 *
 * Bound by arithmetic: for 14 x 2 multiply-adds 14 broadcasts and 2 aligned loads of packed weights,
 * 9 bytes of them per cycle: they may stream from the L2 cache. (7 x 4 has fewer loads, but 18 bytes
 * per cycle, and reaches 92 % of the peak where this reaches 98.) */

#define CHANNEL_VECTORS 2
#if VEC_REGS == 32
#define CHANNEL_PIXELS 14
/* Lengths that few images have are left out: each is 4 KB of code. */
#define CHANNEL_RUNS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(10) X(12) X(13) X(14)
#define CHANNEL_LEFT_OUT(n) ((n) == 9 || (n) == 11)
#else
#define CHANNEL_LEFT_OUT(n) 0
#if LANES > 1
#define CHANNEL_PIXELS 6
#define CHANNEL_RUNS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define CHANNEL_PIXELS 2
#define CHANNEL_RUNS(X) X(1) X(2)
#endif
#endif
#define CHANNEL_TILE (CHANNEL_PIXELS * CHANNEL_VECTORS * LANES)

struct channel_tile {
    const real *x; /* the run's first pixel, under the first tap */
    const real *weight, *bias;
    const real *start; /* sums to continue, or NULL to start from the bias */
    real *sums;        /* where they go, `sums_pitch` elements from one pixel to the next */
    ptrdiff_t sums_pitch;
    int activation; /* of the sums */
    const ptrdiff_t *tap;
    ptrdiff_t taps, c, channel, pixel; /* elements from one channel, one pixel, to the next */
    ptrdiff_t skipped;                 /* elements of weights between two channels */
    const real *ahead;                 /* fetched for later, so many elements further each tap */
    ptrdiff_t ahead_step;
};

FC_INLINE void channel_tile(const struct channel_tile *t, ptrdiff_t pixel, const int n, const int nv)
{
    vec acc[CHANNEL_PIXELS][CHANNEL_VECTORS];
    const real *x = t->x, *w = t->weight, *ahead = t->ahead;
    const ptrdiff_t taps = t->taps, ahead_step = t->ahead_step, sums_pitch = t->sums_pitch;
    real *const sums = t->sums;

    FC_UNROLL for (int i = 0; i < n; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[i][v] = v_load(t->start ? t->start + (i * nv + v) * LANES : t->bias + v * LANES);
    for (ptrdiff_t c = t->c; c > 0; c--, x += t->channel, w += t->skipped)
        for (ptrdiff_t k = 0; k < taps; k++, w += nv * LANES, ahead += ahead_step) {
            const real *at = x + t->tap[k];
            FC_PREFETCH_L2(ahead);
            vec weight[CHANNEL_VECTORS];
            FC_UNROLL for (int v = 0; v < nv; v++)
                weight[v] = v_load(w + v * LANES);
            FC_UNROLL for (int i = 0; i < n; i++) {
                /* By threes, which addresses have room for: one addition instead of three. */
                const vec each = v_set1(at[i % 3 * pixel]);
                if (i % 3 == 2)
                    at += 3 * pixel;
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[i][v] = v_fma(each, weight[v], acc[i][v]);
            }
        }
    if (t->activation != FC_LINEAR)
        FC_UNROLL for (int i = 0; i < n; i++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[i][v] = activate(acc[i][v], t->activation);
    FC_UNROLL for (int i = 0; i < n; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            v_store(sums + i * sums_pitch + v * LANES, acc[i][v]);
}

/* For each run: one and two vectors; pixels apart, or (NCHW) side by side. */
#define CHANNEL_RUN_FUNCTIONS(n)                                                                   \
    static void channel_apart_1_##n(const struct channel_tile *t) { channel_tile(t, t->pixel, n, 1); } \
    static void channel_apart_2_##n(const struct channel_tile *t) { channel_tile(t, t->pixel, n, 2); } \
    static void channel_beside_1_##n(const struct channel_tile *t) { channel_tile(t, 1, n, 1); }   \
    static void channel_beside_2_##n(const struct channel_tile *t) { channel_tile(t, 1, n, 2); }
CHANNEL_RUNS(CHANNEL_RUN_FUNCTIONS)

static void (*const channel_tiles[CHANNEL_PIXELS][2][CHANNEL_VECTORS])(const struct channel_tile *) = {
#define CHANNEL_RUN_ROW(n) \
    [n - 1] = {{channel_apart_1_##n, channel_apart_2_##n}, {channel_beside_1_##n, channel_beside_2_##n}},
    CHANNEL_RUNS(CHANNEL_RUN_ROW)
};

/* Vectors of the tile that takes the next k output channels. */
FC_INLINE int channel_vectors(ptrdiff_t k) { return k > LANES ? CHANNEL_VECTORS : 1; }

/* Packed weights: for each group and each tile of output channels, [c][kh][kw][channels]; then one
 * number that is 0 if all weights are finite. */
static ptrdiff_t channel_packed_k(ptrdiff_t k)
{
    const ptrdiff_t rest = k % (CHANNEL_VECTORS * LANES);
    return k - rest + round_up(rest, LANES);
}

static ptrdiff_t conv_direct_channel_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * channel_packed_k(p->k) * p->c * p->kh * p->kw + 1;
}

/* 0, or NaN where a number is not finite. */
static real channel_not_finite(const real *x, ptrdiff_t count)
{
    real lanes[LANES], sum = 0;
    vec zero = v_set1(0);
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES)
        zero = v_fma(v_load(x + i), v_set1(0), zero);
    v_store(lanes, zero);
    for (ptrdiff_t j = 0; j < LANES; j++)
        sum += lanes[j];
    for (; i < count; i++)
        sum += x[i] * 0;
    return sum;
}

static void conv_direct_channel_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t terms = p->c * p->kh * p->kw;
    const real *weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t g = 0; g < p->groups; g++, weight += p->k * terms) {
        ptrdiff_t width;
        for (ptrdiff_t k = 0; k < p->k; k += width) {
            width = channel_vectors(p->k - k) * LANES;
            transpose_into(dst, width, weight + k * terms, terms, p->k - k, terms);
            dst += terms * width;
        }
    }
    *dst = channel_not_finite(p->weight, p->groups * p->k * terms);
}

static ptrdiff_t conv_direct_channel_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->block_rows > 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->n * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->oh, p->block_rows) *
           ceil_div(p->ow, p->block_cols);
}

/* How a row of outputs is cut into runs. */
FC_INLINE ptrdiff_t channel_runs(ptrdiff_t cols)
{
    return CHANNEL_LEFT_OUT(cols) ? 2 : ceil_div(cols, CHANNEL_PIXELS);
}
FC_INLINE ptrdiff_t channel_run(ptrdiff_t cols)
{
    const ptrdiff_t n = ceil_div(cols, channel_runs(cols));
    return n + CHANNEL_LEFT_OUT(n);
}

/* Sums that blocks of channels hand on: those of all tiles of a block. */
FC_INLINE ptrdiff_t channel_sums(const struct fc_conv2d *p)
{
    return p->block_c >= p->c ? 0
                              : ceil_div(FC_MIN(p->block_k, p->k), CHANNEL_VECTORS * LANES) *
                                    p->block_rows * channel_runs(p->block_cols) * CHANNEL_TILE;
}

/* NCHW: a matrix product needs no panel, since pixels are read one by one. */
FC_INLINE int channel_in_place(const struct fc_conv2d *p)
{
    return p->kh == 1 && p->kw == 1 && p->stride_h == 1 && p->stride_w == 1 && p->oh == p->h &&
           p->ow == p->w && p->top == 0 && p->left == 0 && slices_are_samples(p);
}

/* NCHW: the input of a block as it is, whatever the strides: as the panel of a matrix product. */
static struct fc_conv2d channel_whole(const struct fc_conv2d *p)
{
    struct fc_conv2d whole = *p;
    whole.kh = whole.kw = whole.stride_h = whole.stride_w = 1;
    return whole;
}
static struct nchw_panel channel_panel(const struct fc_conv2d *p, ptrdiff_t rows, ptrdiff_t cols)
{
    const struct fc_conv2d whole = channel_whole(p);
    return nchw_panel(&whole, (rows - 1) * p->stride_h + (p->kh - 1) * p->dilation_h + 1,
                      (cols - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1);
}

/* The taps of a tile's inner loop: those of a channel, or (1x1) the channels of a block. */
FC_INLINE ptrdiff_t channel_taps(const struct fc_conv2d *p)
{
    return p->kh * p->kw == 1 ? p->block_c : p->kh * p->kw;
}

FC_SMALL size_t conv_direct_channel_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct nchw_panel panel = channel_panel(p, p->block_rows, p->block_cols);
    return taken(channel_taps(p), sizeof(ptrdiff_t)) + taken(CHANNEL_TILE, sizeof(real)) +
           taken(CHANNEL_VECTORS * LANES, sizeof(real)) + taken(channel_sums(p), sizeof(real)) +
           (p->nhwc ? taken(nhwc_scratch(p, p->block_c), sizeof(real))
                    : taken(channel_in_place(p) ? 0 : p->block_c * panel.channel, sizeof(real)));
}

/* Store a tile's sums, n pixels of `kept` output channels, in NHWC. */
static void channel_store_nhwc(const struct fc_conv2d *p, const real *sums, ptrdiff_t n, int nv,
                               ptrdiff_t kept, real *out)
{
    for (ptrdiff_t i = 0; i < n; i++, out += p->groups * p->k)
        for (ptrdiff_t v = 0; v < nv; v++, sums += LANES) {
            const vec y = activate(v_load(sums), tile_activation(p));
            if (kept - v * LANES >= LANES)
                v_store(out + v * LANES, y);
            else
                v_store_n(out + v * LANES, y, kept - v * LANES);
        }
}

/* Store some pixels, the lanes, of some output channels, the vectors. */
FC_INLINE void channel_store_transposed(const struct fc_conv2d *p, const vec *a, ptrdiff_t pixels,
                                        ptrdiff_t channels, real *out)
{
    const ptrdiff_t plane = p->od * p->oh * p->ow;
    const int stream = p->stream && pixels == LANES && (uintptr_t)out % 64 == 0 &&
                       plane * (ptrdiff_t)sizeof(real) % 64 == 0;
    for (ptrdiff_t i = 0; i < channels; i++, out += plane) {
        const vec y = activate(a[i], tile_activation(p));
        if (stream)
            v_stream(out, y);
        else
            store_up_to(out, 0, pixels, y);
    }
}

/* LANES pixels of as many output channels; alone for the reason that transpose_tile is. */
FC_NOINLINE void channel_store_tile(const real *sums, ptrdiff_t step, int activation, real *out,
                                    ptrdiff_t plane)
{
    vec a[LANES];
    assert(activation == FC_LINEAR || activation == FC_RELU);
    FC_UNROLL for (int i = 0; i < LANES; i++, sums += step)
        a[i] = v_load(sums);
    if (activation == FC_RELU)
        FC_UNROLL for (int i = 0; i < LANES; i++)
            a[i] = activate(a[i], FC_RELU);
    transpose(a);
    FC_UNROLL for (int i = 0; i < LANES; i++, out += plane)
        v_store(out, a[i]);
}

/* The same in NCHW: LANES pixels at a time are transposed. The last ones may overlap those before. */
static void channel_store_nchw(const struct fc_conv2d *p, const real *sums, ptrdiff_t n, int nv,
                               ptrdiff_t kept, real *out)
{
    const ptrdiff_t plane = p->od * p->oh * p->ow;
    for (ptrdiff_t begin = 0; begin < n; begin += LANES) {
        const ptrdiff_t at = n < LANES || p->stream ? begin : FC_MIN(begin, n - LANES);
        const ptrdiff_t pixels = FC_MIN(LANES, n - at);
        for (ptrdiff_t v = 0; v < nv; v++) {
            const ptrdiff_t channels = FC_MIN(LANES, kept - v * LANES);
            const real *const from = sums + (at * nv + v) * LANES;
            real *const to = out + v * LANES * plane + at;
            vec a[LANES];
            if (pixels == LANES && channels == LANES && !p->stream) {
                channel_store_tile(from, nv * LANES, tile_activation(p), to, plane);
                continue;
            }
            FC_UNROLL for (int i = 0; i < LANES; i++)
                a[i] = i < pixels ? v_load(from + i * nv * LANES) : v_set1(0);
            transpose(a);
            channel_store_transposed(p, a, pixels, channels, to);
        }
    }
}

/* In NCHW, fetch the lines that n pixels of some output channels will be stored to, while their sums
 * are computed: of results larger than level 2 caches. */
#define CHANNEL_FETCHED (2 << 20)
FC_INLINE void channel_fetch_nchw(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t channels,
                                  real *out)
{
    const ptrdiff_t plane = p->od * p->oh * p->ow;
    if (p->nhwc || p->n * p->groups * p->k * p->oh * p->ow * (ptrdiff_t)sizeof(real) <= CHANNEL_FETCHED)
        return;
    for (ptrdiff_t k = 0; k < channels; k++, out += plane)
        for (ptrdiff_t at = 0; at < n + LANES - 1; at += LANES)
            FC_PREFETCH_WRITE(out + FC_MIN(at, n - 1));
}

struct channel_unit {
    ptrdiff_t n, g, k0, k1, y0, rows, x0, cols;
    const real *weight, *bias; /* of the group; bias may be NULL */
    int finite;                /* all weights are */
    real *tile_sums, *sums;
};

/* Of the taps under output row y only those on the image, not those on rows of zeros around it: that
 * changes no sum of finite weights. */
static void channel_skip_rows(const struct fc_conv2d *p, const struct channel_tile *all,
                              struct channel_tile *t, ptrdiff_t y, ptrdiff_t width)
{
    const ptrdiff_t top = y * p->stride_h - p->top;
    ptrdiff_t begin = 0, end = p->kh;
    while (begin < end && top + begin * p->dilation_h < 0)
        begin++;
    while (begin < end && top + (end - 1) * p->dilation_h >= p->h)
        end--;
    t->tap = all->tap + begin * p->kw;
    t->taps = (end - begin) * p->kw;
    t->weight = all->weight + begin * p->kw * width;
    t->skipped = (p->kh - end + begin) * p->kw * width;
}

/* One tile of output channels of a block, over some of the input channels. */
static void channel_run_tiles(const struct fc_conv2d *p, const struct channel_unit *u,
                              const struct channel_tile *all, const real *x, ptrdiff_t row,
                              ptrdiff_t k, real *sums, int first, int last)
{
    struct channel_tile tile = *all, *const t = &tile;
    const int nv = channel_vectors(u->k1 - k);
    const ptrdiff_t n = channel_run(u->cols), kept = FC_MIN(u->k1 - k, nv * LANES);
    /* Whole vectors of channels need no transposition and no mask: tiles store them themselves. */
    const int direct = last && p->nhwc && kept == nv * LANES;
    const struct steps to = output_steps(p);
    real *const first_out = (real *)p->out + output_slice(p, &to, u->n) + u->g * to.group +
                            k * to.channel;
    void (*const run)(const struct channel_tile *) = channel_tiles[n - 1][t->pixel == 1][nv - 1];

    t->sums_pitch = direct ? to.pixel : nv * LANES;
    t->activation = direct ? tile_activation(p) : FC_LINEAR;
    /* From a row in the middle on: it takes all taps, so the weights come as one stream. */
    for (ptrdiff_t turn = 0; turn < u->rows; turn++) {
        const ptrdiff_t y = (turn + u->rows / 2) % u->rows;
        if (p->kh > 1 && u->finite && p->border_h == FC_CONSTANT)
            channel_skip_rows(p, all, t, u->y0 + y, nv * LANES);
        for (ptrdiff_t i = 0; i < channel_runs(u->cols); i++, sums += CHANNEL_TILE) {
            const ptrdiff_t at = FC_MIN(i * n, u->cols - n);
            real *const out = first_out + (u->y0 + y) * to.row + (u->x0 + at) * to.pixel;
            t->x = x + y * row + at * t->pixel;
            t->start = first ? NULL : sums;
            t->sums = direct ? out : last ? u->tile_sums : sums;
            if (last)
                channel_fetch_nchw(p, n, kept, out);
            run(t);
            t->ahead += t->c * t->taps * t->ahead_step;
            if (last && !direct)
                (p->nhwc ? channel_store_nhwc : channel_store_nchw)(p, u->tile_sums, n, nv, kept, out);
        }
    }
}

/* Where a block of channels stands: elements from one row, pixel, channel to the next. */
struct channel_view {
    const real *first; /* under the first tap of the first output */
    ptrdiff_t row, pixel, channel;
};

static struct channel_view channel_input(const struct fc_conv2d *p, const struct channel_unit *u,
                                         ptrdiff_t c0, ptrdiff_t c, real *scratch)
{
    if (p->nhwc) {
        const struct nhwc_rows in =
            nhwc_rows(p, u->n, u->g, c0, c0 + c, u->y0, u->rows, u->x0, u->cols, scratch);
        return (struct channel_view){in.first, in.row, in.pixel, 1};
    }
    if (channel_in_place(p)) {
        const real *const image = slice_channels(p, u->n, u->g, c0, c0 + c).x;
        return (struct channel_view){image + u->y0 * p->w + u->x0, p->w, 1, input_steps(p).channel};
    }
    {
        const struct fc_conv2d whole = channel_whole(p);
        const struct nchw_panel panel = channel_panel(p, u->rows, u->cols);
        nchw_fill(&whole, &panel, scratch, u->n, u->g, c0, c0 + c, u->y0 * p->stride_h,
                  u->x0 * p->stride_w);
        return (struct channel_view){scratch, panel.pitch, 1, panel.channel};
    }
}

static void channel_unit(const struct fc_conv2d *p, struct channel_unit *u, char *scratch)
{
    const ptrdiff_t terms = p->kh * p->kw; /* of a channel */
    ptrdiff_t *const tap = take(&scratch, channel_taps(p), sizeof *tap);
    real *const bias = take(&scratch, CHANNEL_VECTORS * LANES, sizeof(real));
    struct channel_tile t = {.bias = bias, .tap = tap, .c = 1, .taps = terms};

    u->tile_sums = take(&scratch, CHANNEL_TILE, sizeof(real));
    u->sums = take(&scratch, channel_sums(p), sizeof(real));
    for (ptrdiff_t c0 = 0, c; c0 < p->c; c0 += c) {
        c = FC_MIN(p->block_c, p->c - c0);
        const struct channel_view in = channel_input(p, u, c0, c, (real *)scratch);
        real *sums = u->sums;
        t.pixel = p->stride_w * in.pixel;
        if (terms == 1) { /* the channels are the taps: one long loop, not many short ones */
            t.taps = c;
            for (ptrdiff_t i = 0; i < c; i++)
                tap[i] = i * in.channel;
        } else {
            t.c = c;
            t.channel = in.channel;
            for (ptrdiff_t i = 0; i < terms; i++)
                tap[i] = i / p->kw * p->dilation_h * in.row + i % p->kw * p->dilation_w * in.pixel;
        }
        for (ptrdiff_t k = u->k0; k < u->k1; k += CHANNEL_VECTORS * LANES) {
            const ptrdiff_t width = channel_vectors(u->k1 - k) * LANES;
            copy_up_to(bias, width, u->bias, k, u->k1);
            t.weight = u->weight + (k * p->c + c0 * width) * terms;
            /* The next output channels' weights, while the block's rows and runs use these. */
            t.ahead = t.weight + p->c * terms * width;
            t.ahead_step = ceil_div(width, u->rows * channel_runs(u->cols));
            channel_run_tiles(p, u, &t, in.first, p->stride_h * in.row, k, sums, c0 == 0,
                              c0 + c == p->c);
            if (c0 + c == p->c)
                finish_block(p, u->n, u->g * p->k + k, FC_MIN(width, u->k1 - k), u->y0,
                             u->rows, u->x0, u->cols);
            sums += u->rows * channel_runs(u->cols) * CHANNEL_TILE;
        }
    }
}

static void conv_direct_channel(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k), terms = p->c * p->kh * p->kw;
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    const real *const weight = p->weight, *const last = weight + conv_direct_channel_packed(p) - 1;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        const ptrdiff_t x0 = rest % blocks_x * p->block_cols;
        const ptrdiff_t y0 = (rest /= blocks_x) % blocks_y * p->block_rows;
        const ptrdiff_t k0 = (rest /= blocks_y) % blocks_k * p->block_k;
        const ptrdiff_t sample = rest / blocks_k, g = sample % p->groups;
        struct channel_unit u = {
            .n = sample / p->groups, .g = g,
            .k0 = k0, .k1 = FC_MIN(k0 + p->block_k, p->k),
            .y0 = y0, .rows = FC_MIN(p->block_rows, p->oh - y0),
            .x0 = x0, .cols = FC_MIN(p->block_cols, p->ow - x0),
            .weight = weight + g * channel_packed_k(p->k) * terms,
            .finite = *last == 0,
            .bias = p->bias ? (const real *)p->bias + g * p->k : NULL,
        };
        channel_unit(p, &u, scratch);
    }
    v_stream_end();
}
