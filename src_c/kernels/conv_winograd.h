/* Winograd convolution F(4x4, 3x3) for NCHW: 36 multiplications for 16 outputs of a 3x3 kernel
 * instead of 144.
 *
 * A unit is a block of 4x4 tiles of outputs, and of output channels, of one sample and group:
 *   1. each channel's 6x6 patches are transformed, tiles in the lanes, into 36 planes [c][tile];
 *   2. for the output channels of one register tile at a time, plane by plane, a matrix product with
 *      the transformed weights, output channels in the lanes (the tiles of conv_direct_channel.h);
 *   3. its result is transformed back, with the bias, and stored as conv_direct_channel.h does.
 * Nothing of the image's size is kept in between.
 *
 * The transforms mix the elements of a patch: where it holds a NaN, an infinity, or a number near
 * the end of the range, its tile is computed again, directly. */

/* Channels that are summed before the sum joins the rest. */
#define WINOGRAD_CHANNELS 32
/* Output channels of one product, and of one stretch of packed weights. */
#define WINOGRAD_K (CHANNEL_VECTORS * LANES)
/* This times a number overflows from 2**60 on. Below it, and with weights whose absolute sum is
 * below 2**48 (conv.py sees to that), no step overflows: the transforms grow less than 2**12. */
#define WINOGRAD_HEADROOM ((real)(FC_BITS == 32 ? 0x1p68 : 0x1p964))

/* A block of tiles, and the sizes of what its unit keeps, in elements. */
struct winograd_block {
    ptrdiff_t rows, cols, tiles; /* of tiles */
    ptrdiff_t line;              /* a row of the image under them */
    ptrdiff_t patches;           /* one of 4 x 6 planes of a channel's patches */
    ptrdiff_t channel;           /* transformed tiles of a channel */
    ptrdiff_t input, product;    /* one of the 36 planes */
    ptrdiff_t output;            /* a row of outputs of one vector of channels */
};

static struct winograd_block winograd_block(const struct fc_conv2d *p, ptrdiff_t rows,
                                            ptrdiff_t cols)
{
    struct winograd_block b;
    b.rows = ceil_div(rows, 4);
    b.cols = ceil_div(cols, 4);
    b.tiles = b.rows * b.cols;
    b.line = odd_lines(round_up(4 * b.cols, 4 * LANES) + 4); /* read in groups of four vectors, from 0 and 4 */
    b.patches = odd_lines((b.rows + 1) * b.cols + LANES);
    b.channel = round_up(b.tiles, LANES);
    b.input = odd_lines(p->c * b.channel);
    b.product = odd_lines(b.tiles * WINOGRAD_K);
    b.output = odd_lines(4 * b.cols * LANES);
    return b;
}

FC_INLINE ptrdiff_t winograd_lines(const struct winograd_block *b)
{
    return (4 * b->rows + 2) * b->line;
}

static ptrdiff_t conv_winograd_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->block_rows % 4 == 0 && p->block_cols % 4 == 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->n * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->oh, p->block_rows) *
           ceil_div(p->ow, p->block_cols);
}

static size_t conv_winograd_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct winograd_block b = winograd_block(p, p->block_rows, p->block_cols);
    return taken(WINOGRAD_CHANNELS, sizeof(ptrdiff_t)) + taken(2 * WINOGRAD_K, sizeof(real)) +
           taken(winograd_lines(&b), sizeof(real)) + taken(24 * b.patches, sizeof(real)) +
           taken(WINOGRAD_POINTS * b.input, sizeof(real)) +
           taken(WINOGRAD_POINTS * b.product, sizeof(real)) + taken(4 * b.output, sizeof(real));
}

/* Packed weights: for each group and each product's output channels [point][c][k], a stretch of
 * memory; then the weights themselves, for the tiles that are computed directly. */
FC_INLINE ptrdiff_t winograd_point(const struct fc_conv2d *p, ptrdiff_t width)
{
    return odd_lines(p->c * width);
}
FC_INLINE ptrdiff_t winograd_stretch(const struct fc_conv2d *p)
{
    return WINOGRAD_POINTS * winograd_point(p, WINOGRAD_K);
}
static ptrdiff_t winograd_packed_group(const struct fc_conv2d *p)
{
    return ceil_div(p->k, WINOGRAD_K) * winograd_stretch(p);
}

static ptrdiff_t conv_winograd_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * (winograd_packed_group(p) + p->k * p->c * 9);
}

/* Transform the weights of LANES output channels (`kept` of them real) and all input channels: dst is
 * point 0 of the first one, `width` output channels from one input channel to the next. */
static void winograd_pack_lanes(const struct fc_conv2d *p, const real *weight, ptrdiff_t kept,
                                ptrdiff_t width, real *dst)
{
    enum { CHANNELS = 8 }; /* at a time */
    for (ptrdiff_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
        const ptrdiff_t channels = FC_MIN(CHANNELS, p->c - c0);
        real plain[CHANNELS * 9 * LANES];
        transpose_into(plain, LANES, weight + c0 * 9, p->c * 9, kept, channels * 9);
        for (ptrdiff_t c = 0; c < channels; c++) {
            double w[9][LANES], rows[18][LANES], u[WINOGRAD_POINTS][LANES];
            for (int i = 0; i < 9; i++)
                for (int m = 0; m < LANES; m++)
                    w[i][m] = plain[(c * 9 + i) * LANES + m];
            for (int i = 0; i < 3; i++)
                winograd_weight_6(w + 3 * i, 1, rows + 6 * i, 1);
            for (int i = 0; i < 6; i++)
                winograd_weight_6(rows + i, 6, u + i, 6);
            for (ptrdiff_t i = 0; i < WINOGRAD_POINTS; i++)
                for (int m = 0; m < LANES; m++)
                    dst[i * winograd_point(p, width) + (c0 + c) * width + m] = (real)u[i][m];
        }
    }
}

static void conv_winograd_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const real *weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t g = 0; g < p->groups; g++) {
        for (ptrdiff_t k = 0; k < p->k; k += WINOGRAD_K, dst += winograd_stretch(p)) {
            const ptrdiff_t width = channel_vectors(p->k - k) * LANES;
            for (ptrdiff_t v = 0; v < width; v += LANES)
                winograd_pack_lanes(p, weight + ((g * p->k) + k + v) * p->c * 9, p->k - k - v,
                                    width, dst + v);
        }
    }
    memcpy(dst, weight, (size_t)(p->groups * p->k * p->c * 9) * sizeof(real));
}

/* A unit: a block of outputs, with what it needs of its sample and group. */
struct winograd_unit {
    const struct fc_conv2d *p;
    struct winograd_block block;
    const real *x, *weight, *plain, *bias; /* weight transformed, plain not; bias may be NULL */
    real *out;                             /* NCHW: of the group's first channel */
    ptrdiff_t y0, rows, x0, cols, k0, k1;
};

/* Not 0 in the lanes that are not, or hold a number that makes the transforms unsafe. */
FC_INLINE vec winograd_unsafe(vec v, vec unsafe)
{
    return v_fma(v_mul(v, v_set1(WINOGRAD_HEADROOM)), v_set1(0), unsafe);
}

/* Split one row under the block into the columns of its patches: column j of tile t is row[4 t + j].
 * Adds to `unsafe` what is not 0 where a number is not safe to transform. */
FC_INLINE vec winograd_split(const struct winograd_block *b, const real *row, real *patches,
                             vec unsafe)
{
    for (ptrdiff_t t = 0; t < b->cols; t += LANES)
        FC_UNROLL for (int j = 0; j < 6; j += 4) { /* columns 4 and 5 are those of the next tile */
            const real *const at = row + 4 * t + j;
            const vec v0 = v_load(at), v1 = v_load(at + LANES);
            const vec v2 = v_load(at + 2 * LANES), v3 = v_load(at + 3 * LANES);
            const vec even_0 = v_even(v0, v1), even_1 = v_even(v2, v3);
            const vec odd_0 = v_odd(v0, v1), odd_1 = v_odd(v2, v3);
            real *const to = patches + j * b->patches + t;
            v_store(to, v_even(even_0, even_1));
            v_store(to + b->patches, v_even(odd_0, odd_1));
            if (j == 0) {
                v_store(to + 2 * b->patches, v_odd(even_0, even_1));
                v_store(to + 3 * b->patches, v_odd(odd_0, odd_1));
            }
            unsafe = winograd_unsafe(v0, winograd_unsafe(v1, unsafe));
            unsafe = winograd_unsafe(v2, winograd_unsafe(v3, unsafe));
        }
    return unsafe;
}

/* Transform the patches of one channel x: dst is its row of tiles in plane 0. */
static vec winograd_input(const struct winograd_unit *u, const real *x, real *lines, real *patches,
                          real *dst, vec unsafe)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;

    /* All rows first: a load that straddles two stores waits until both have left the store buffer. */
    for (ptrdiff_t r = 0; r < 4 * b->rows + 2; r++) {
        const ptrdiff_t y = border_index(u->y0 - p->top + r, p->h, p->border_h);
        if (y < 0)
            memset(lines + r * b->line, 0, (size_t)(4 * b->cols + 2) * sizeof(real));
        else {
            const real *const next = x + (p->h + y) * p->w + FC_MAX(u->x0 - p->left, 0);
            /* The next channel's rows: in many short pieces the processor sees no stream. */
            for (ptrdiff_t i = 0; b->cols > 8 && i < 4 * b->cols; i += 64 / (ptrdiff_t)sizeof(real))
                FC_PREFETCH(next + i);
            nchw_fill_row(lines + r * b->line, x + y * p->w, p->w, u->x0 - p->left,
                          4 * b->cols + 2, p->border_w);
        }
    }
    for (ptrdiff_t r = 0; r < 4 * b->rows + 2; r++)
        unsafe = winograd_split(b, lines + r * b->line,
                                patches + r % 4 * 6 * b->patches + r / 4 * b->cols, unsafe);
    for (ptrdiff_t t = 0; t < b->tiles; t += LANES) {
        vec d[WINOGRAD_POINTS];
        FC_UNROLL for (int i = 0; i < 6; i++) {
            FC_UNROLL for (int j = 0; j < 6; j++)
                d[6 * i + j] = v_load(patches + (i % 4 * 6 + j) * b->patches + i / 4 * b->cols + t);
            winograd_input_6(d + 6 * i, 1);
        }
        FC_UNROLL for (int j = 0; j < 6; j++) {
            winograd_input_6(d + j, 6);
            FC_UNROLL for (int i = 0; i < 6; i++)
                v_store(dst + (6 * i + j) * b->input + t, d[6 * i + j]);
        }
    }
    return unsafe;
}

/* The matrix product of each plane for one tile of output channels. */
static void winograd_products(const struct winograd_unit *u, const real *weight, int nv,
                              const real *zero, ptrdiff_t *tap, const real *input, real *product)
{
    const struct winograd_block *const b = &u->block;
    const ptrdiff_t c = u->p->c;
    struct channel_tile t = {.bias = zero, .tap = tap, .c = 1};

    for (ptrdiff_t i = 0; i < WINOGRAD_CHANNELS; i++)
        tap[i] = i * b->channel;
    for (ptrdiff_t point = 0; point < WINOGRAD_POINTS; point++)
        for (ptrdiff_t c0 = 0; c0 < c; c0 += WINOGRAD_CHANNELS) {
            t.taps = FC_MIN(WINOGRAD_CHANNELS, c - c0);
            t.weight = weight + point * winograd_point(u->p, nv * LANES) + c0 * nv * LANES;
            t.add = c0 > 0;
            for (ptrdiff_t at = 0, n; at < b->tiles; at += n) {
                n = channel_run(b->tiles - at);
                t.x = input + point * b->input + c0 * b->channel + at;
                t.sums = product + point * b->product + at * nv * LANES;
                channel_tiles[n - 1][1][nv - 1](&t);
            }
        }
}

/* Transform the products of one tile of output channels, `kept` of them real, back and store them. */
static void winograd_output(const struct winograd_unit *u, const real *product, int nv,
                            const real *bias, ptrdiff_t kept, real *lines, real *out)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;

    for (ptrdiff_t v = 0; v < nv; v++, kept -= LANES, out += LANES * p->oh * p->ow)
        for (ptrdiff_t y = 0; y < u->rows; y += 4) {
            for (ptrdiff_t x = 0; x < b->cols; x++) {
                const real *const from = product + ((y / 4 * b->cols + x) * nv + v) * LANES;
                vec m[WINOGRAD_POINTS], half[24], outputs[16];
                FC_UNROLL for (int j = 0; j < 6; j++) {
                    FC_UNROLL for (int i = 0; i < 6; i++)
                        m[6 * i + j] = v_load(from + (6 * i + j) * b->product);
                    winograd_output_4(m + j, 6, half + j, 6);
                }
                FC_UNROLL for (int i = 0; i < 4; i++) {
                    winograd_output_4(half + 6 * i, 1, outputs + 4 * i, 1);
                    FC_UNROLL for (int j = 0; j < 4; j++)
                        v_store(lines + i * b->output + (4 * x + j) * LANES,
                                v_add(outputs[4 * i + j], v_load(bias + v * LANES)));
                }
            }
            for (ptrdiff_t i = 0; i < FC_MIN(4, u->rows - y); i++)
                channel_store_nchw(p, lines + i * b->output, u->cols, 1, FC_MIN(kept, LANES),
                                   out + (y + i) * p->ow);
        }
}

/* x at (y, x), border included. */
FC_INLINE real winograd_pixel(const struct fc_conv2d *p, const real *x, ptrdiff_t row, ptrdiff_t col)
{
    const ptrdiff_t y = border_index(row, p->h, p->border_h);
    const ptrdiff_t at = border_index(col, p->w, p->border_w);
    return y < 0 || at < 0 ? 0 : x[y * p->w + at];
}

/* Compute one tile of one output channel directly; x, weight: of the group's first channel. */
static void winograd_direct_tile(const struct fc_conv2d *p, const real *x, const real *weight,
                                 real bias, ptrdiff_t y0, ptrdiff_t x0, real *out)
{
    for (ptrdiff_t y = y0; y < FC_MIN(y0 + 4, p->oh); y++)
        for (ptrdiff_t at = x0; at < FC_MIN(x0 + 4, p->ow); at++) {
            real sum = bias;
            for (ptrdiff_t i = 0; i < p->c * 9; i++)
                sum = real_fma(weight[i],
                               winograd_pixel(p, x + i / 9 * p->h * p->w, y - p->top + i % 9 / 3,
                                              at - p->left + i % 3), sum);
            out[y * p->ow + at] = activate_one(sum, tile_activation(p));
        }
}

/* Is any number of the patch at (y, x) of the padded input not safe to transform? */
static int winograd_unsafe_patch(const struct fc_conv2d *p, const real *x, ptrdiff_t y0,
                                 ptrdiff_t x0)
{
    for (ptrdiff_t i = 0; i < p->c * WINOGRAD_POINTS; i++) {
        const real value = winograd_pixel(p, x + i / 36 * p->h * p->w, y0 - p->top + i % 36 / 6,
                                          x0 - p->left + i % 6);
        if (real_fma(value * WINOGRAD_HEADROOM, 0, 0) != 0)
            return 1;
    }
    return 0;
}

/* Compute the tiles again that no transform could be trusted with. */
static void winograd_repair(const struct winograd_unit *u)
{
    const struct fc_conv2d *const p = u->p;
    for (ptrdiff_t y = u->y0; y < u->y0 + u->rows; y += 4)
        for (ptrdiff_t x = u->x0; x < u->x0 + u->cols; x += 4)
            if (winograd_unsafe_patch(p, u->x, y, x))
                for (ptrdiff_t k = u->k0; k < u->k1; k++)
                    winograd_direct_tile(p, u->x, u->plain + k * p->c * 9,
                                         u->bias ? u->bias[k] : 0, y, x,
                                         u->out + k * p->oh * p->ow);
}

static void winograd_run_unit(const struct winograd_unit *u, char *scratch)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    ptrdiff_t *const tap = take(&scratch, WINOGRAD_CHANNELS, sizeof *tap);
    real *const zero = take(&scratch, 2 * WINOGRAD_K, sizeof(real)), *const bias = zero + WINOGRAD_K;
    real *const in_lines = take(&scratch, winograd_lines(b), sizeof(real));
    real *const patches = take(&scratch, 24 * b->patches, sizeof(real));
    real *const input = take(&scratch, WINOGRAD_POINTS * b->input, sizeof(real));
    real *const product = take(&scratch, WINOGRAD_POINTS * b->product, sizeof(real));
    real *const out_lines = take(&scratch, 4 * b->output, sizeof(real));
    real unsafe_lanes[LANES];
    vec unsafe = v_set1(0);

    /* Vectors read past the ends of both. */
    memset(in_lines, 0, (size_t)winograd_lines(b) * sizeof(real));
    memset(patches, 0, (size_t)(24 * b->patches) * sizeof(real));
    memset(zero, 0, WINOGRAD_K * sizeof(real));
    for (ptrdiff_t c = 0; c < p->c; c++)
        unsafe = winograd_input(u, u->x + c * p->h * p->w, in_lines, patches, input + c * b->channel,
                                unsafe);
    for (ptrdiff_t k = u->k0; k < u->k1; k += WINOGRAD_K) {
        const int nv = channel_vectors(u->k1 - k);
        for (ptrdiff_t i = 0; i < nv * LANES; i++)
            bias[i] = u->bias && k + i < u->k1 ? u->bias[k + i] : 0;
        winograd_products(u, u->weight + k / WINOGRAD_K * winograd_stretch(p), nv, zero, tap, input, product);
        winograd_output(u, product, nv, bias, u->k1 - k, out_lines,
                        u->out + (k * p->oh + u->y0) * p->ow + u->x0);
    }
    v_store(unsafe_lanes, unsafe);
    for (ptrdiff_t i = 0; i < LANES; i++)
        if (unsafe_lanes[i] != 0) {
            winograd_repair(u);
            break;
        }
}

static void conv_winograd(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const ptrdiff_t blocks_x = ceil_div(p->ow, p->block_cols);
    const real *const weight = p->weight, *const bias = p->bias;
    const real *const plain = weight + p->groups * winograd_packed_group(p);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        ptrdiff_t rest = unit;
        const ptrdiff_t x0 = rest % blocks_x * p->block_cols;
        const ptrdiff_t y0 = (rest /= blocks_x) % blocks_y * p->block_rows;
        const ptrdiff_t k0 = (rest /= blocks_y) % blocks_k * p->block_k;
        const ptrdiff_t sample = rest / blocks_k, g = sample % p->groups;
        const ptrdiff_t rows = FC_MIN(p->block_rows, p->oh - y0);
        const ptrdiff_t cols = FC_MIN(p->block_cols, p->ow - x0);
        const struct winograd_unit u = {
            .p = p,
            .block = winograd_block(p, rows, cols),
            .x = (const real *)p->x + sample * p->c * p->h * p->w,
            .weight = weight + g * winograd_packed_group(p),
            .plain = plain + g * p->k * p->c * 9,
            .bias = bias ? bias + g * p->k : NULL,
            .out = (real *)p->out + sample * p->k * p->oh * p->ow,
            .y0 = y0, .rows = rows, .x0 = x0, .cols = cols,
            .k0 = k0, .k1 = FC_MIN(k0 + p->block_k, p->k),
        };
        winograd_run_unit(&u, scratch);
        finish_planes(p, sample * p->k + k0, u.k1 - k0, y0, rows, x0, cols);
    }
    v_stream_end();
}
