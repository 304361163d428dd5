/* Winograd convolution F(4x4, 3x3) for NCHW: 36 multiplications for 16 outputs of a 3x3 kernel
 * instead of 144 (Lavin and Gray, arXiv:1509.09308).
 *
 * With the interpolation points 0, +-11/16, +-3/2 and infinity, all exact in binary, and sums of few
 * channels at a time, the rounding error is about that of a plain float32 sum; the customary points
 * 0, +-1, +-2 lose two bits (on points and sums: Barabasz et al., arXiv:1803.10986).
 *
 * A unit is a block of rows of 4x4 tiles, and of output channels, of one sample and group:
 *   1. each channel's 6x6 patches are transformed, tiles in the lanes, into 36 planes (c, tiles);
 *   2. for a few output channels at a time, plane by plane, a matrix product with the transformed
 *      weights: register tiles of MR output channels by NV vectors of tiles;
 *   3. its result is transformed back, with bias and activation, and written to the image.
 * Nothing of the image's size is stored in between.
 *
 * The transforms mix the elements of a patch: where it holds a NaN, an infinity, or a number near
 * the end of the range, its tile is computed again, directly. */

#define WINOGRAD_A ((real)0.6875)
#define WINOGRAD_B ((real)1.5)
#define WINOGRAD_POINTS 36
/* Channels that are summed before the sum joins the rest. */
#define WINOGRAD_CHANNELS 32
/* Tiles of output channels whose 36 products stay in the L2 cache. */
#define WINOGRAD_K (4 * PIXEL_TILE_K)
/* Four outputs of a vector of tiles side by side, and what nchw_scatter() reads past them. */
#define WINOGRAD_LINE (5 * LANES)
/* This times a number overflows from 2**60 on. Below it, and with weights whose absolute sum is
 * below 2**48 (conv.py sees to that), no step overflows: the transforms grow less than 2**12. */
#define WINOGRAD_HEADROOM ((real)(FC_BITS == 32 ? 0x1p68 : 0x1p964))

/* The unit's tiles as the "outputs" of a 6x6 kernel with stride 4. */
static struct fc_conv2d winograd_grid(const struct fc_conv2d *p)
{
    struct fc_conv2d grid = *p;
    grid.kh = grid.kw = 6;
    grid.stride_h = grid.stride_w = 4;
    grid.oh = ceil_div(p->oh, 4);
    grid.ow = ceil_div(p->ow, 4);
    return grid;
}

/* Sizes of what a unit keeps, in elements. */
struct winograd_sizes {
    ptrdiff_t tiles;          /* from one channel to the next */
    ptrdiff_t input, product; /* from one of the 36 planes to the next */
};

static struct winograd_sizes winograd_sizes(const struct fc_conv2d *p)
{
    struct winograd_sizes s;
    /* Tiles are written in whole vectors, one row of them after the other. */
    s.tiles = round_up(ceil_div(p->block_rows, 4) * ceil_div(p->ow, 4), LANES) + LANES;
    s.input = odd_lines(p->c * s.tiles);
    s.product = odd_lines(WINOGRAD_K * s.tiles);
    return s;
}

static ptrdiff_t conv_winograd_units(const void *params)
{
    const struct fc_conv2d *p = params;
    assert(p->block_rows > 0 && p->block_k > 0);
    assert(p->block_k >= p->k || p->block_k % 64 == 0); /* blocks begin at a packed tile */
    return p->n * p->groups * ceil_div(p->k, p->block_k) * ceil_div(p->oh, p->block_rows);
}

static size_t conv_winograd_scratch(const void *params)
{
    const struct fc_conv2d *p = params;
    const struct fc_conv2d grid = winograd_grid(p);
    const struct winograd_sizes s = winograd_sizes(p);
    const struct nchw_panel panel = nchw_panel(&grid, ceil_div(p->block_rows, 4), grid.ow);
    return taken(nchw_row(&grid, &panel), sizeof(real)) +
           taken(panel.channel + LANES, sizeof(real)) +
           taken(WINOGRAD_POINTS * s.input, sizeof(real)) +
           taken(WINOGRAD_POINTS * s.product, sizeof(real)) + taken(WINOGRAD_LINE, sizeof(real));
}

/* Packed weights: for each group and each tile of output channels [point][c][mr]; then the weights
 * themselves, for the tiles that are computed directly. */
FC_INLINE ptrdiff_t winograd_tile_weights(const struct fc_conv2d *p)
{
    return WINOGRAD_POINTS * p->c * PIXEL_TILE_K;
}
FC_INLINE ptrdiff_t winograd_packed_group(const struct fc_conv2d *p)
{
    return ceil_div(p->k, PIXEL_TILE_K) * winograd_tile_weights(p);
}

static ptrdiff_t conv_winograd_packed(const void *params)
{
    const struct fc_conv2d *p = params;
    return p->groups * (winograd_packed_group(p) + p->k * p->c * 9);
}

/* G: the polynomial of three weights at each point, divided by the point's differences to the
 * others; for a tile of output channels side by side, in double. From one weight to the next `step`
 * rows of channels, from one result to the next `to`. */
FC_INLINE void winograd_weight_6(double (*w)[PIXEL_TILE_K], const int step,
                                 double (*u)[PIXEL_TILE_K], const int to)
{
    const double a = WINOGRAD_A, b = WINOGRAD_B, a2 = a * a, b2 = b * b;
    const double at_0 = 1 / (a2 * b2);
    const double at_a = 1 / (2 * a2 * (a2 - b2)), at_b = 1 / (2 * b2 * (b2 - a2));
    for (int m = 0; m < PIXEL_TILE_K; m++) {
        const double low = w[0][m], middle = w[step][m], high = w[2 * step][m];
        u[0][m] = at_0 * low;
        u[to][m] = at_a * (low + a2 * high + a * middle);
        u[2 * to][m] = at_a * (low + a2 * high - a * middle);
        u[3 * to][m] = at_b * (low + b2 * high + b * middle);
        u[4 * to][m] = at_b * (low + b2 * high - b * middle);
        u[5 * to][m] = high;
    }
}

static void conv_winograd_pack(const void *params, void *packed)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t count = p->groups * p->k * p->c * 9;
    const real *const weight = p->weight;
    real *dst = packed;
    for (ptrdiff_t g = 0; g < p->groups; g++)
        for (ptrdiff_t k = 0; k < p->k; k += PIXEL_TILE_K, dst += winograd_tile_weights(p))
            for (ptrdiff_t c = 0; c < p->c; c++) {
                double w[9][PIXEL_TILE_K] = {{0}}, rows[18][PIXEL_TILE_K];
                double u[WINOGRAD_POINTS][PIXEL_TILE_K];
                for (ptrdiff_t m = 0; m < FC_MIN(PIXEL_TILE_K, p->k - k); m++)
                    for (int i = 0; i < 9; i++)
                        w[i][m] = weight[((g * p->k + k + m) * p->c + c) * 9 + i];
                for (int i = 0; i < 3; i++)
                    winograd_weight_6(w + 3 * i, 1, rows + 6 * i, 1);
                for (int i = 0; i < 6; i++)
                    winograd_weight_6(rows + i, 6, u + i, 6);
                for (ptrdiff_t i = 0; i < WINOGRAD_POINTS; i++)
                    for (int m = 0; m < PIXEL_TILE_K; m++)
                        dst[(i * p->c + c) * PIXEL_TILE_K + m] = (real)u[i][m];
            }
    memcpy(dst, weight, (size_t)count * sizeof(real));
}

/* B^T: six elements of a patch into six, in place; from one to the next `step` vectors. */
FC_INLINE void winograd_input_6(vec *d, const int step)
{
    const real a2 = WINOGRAD_A * WINOGRAD_A, b2 = WINOGRAD_B * WINOGRAD_B;
    const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vec minus_a2 = v_set1(-a2), minus_b2 = v_set1(-b2);
    const vec product = v_set1(a2 * b2), minus_sum = v_set1(-(a2 + b2));
    const vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const vec d5 = d[5 * step];
    const vec even_a = v_fma(minus_b2, d2, d4), odd_a = v_fma(minus_b2, d1, d3);
    const vec even_b = v_fma(minus_a2, d2, d4), odd_b = v_fma(minus_a2, d1, d3);
    d[0] = v_fma(product, d0, v_fma(minus_sum, d2, d4));
    d[step] = v_fma(a, odd_a, even_a);
    d[2 * step] = v_fma(v_set1(-WINOGRAD_A), odd_a, even_a);
    d[3 * step] = v_fma(b, odd_b, even_b);
    d[4 * step] = v_fma(v_set1(-WINOGRAD_B), odd_b, even_b);
    d[5 * step] = v_fma(product, d1, v_fma(minus_sum, d3, d5));
}

/* A^T: six products into four outputs. */
FC_INLINE void winograd_output_4(const vec *m, const int step, vec *y, const int to)
{
    const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vec a2 = v_mul(a, a), b2 = v_mul(b, b);
    const vec sum_a = v_add(m[step], m[2 * step]), difference_a = v_sub(m[step], m[2 * step]);
    const vec sum_b = v_add(m[3 * step], m[4 * step]), difference_b = v_sub(m[3 * step], m[4 * step]);
    y[0] = v_add(m[0], v_add(sum_a, sum_b));
    y[to] = v_fma(a, difference_a, v_mul(b, difference_b));
    y[2 * to] = v_fma(a2, sum_a, v_mul(b2, sum_b));
    y[3 * to] = v_fma(v_mul(a2, a), difference_a, v_fma(v_mul(b2, b), difference_b, m[5 * step]));
}

/* Transform the patches of one channel from its panel: dst is its row of tiles in plane 0. */
static void winograd_input(const struct fc_conv2d *grid, const struct nchw_panel *panel,
                           const real *input, ptrdiff_t rows, real *dst, ptrdiff_t plane)
{
    for (ptrdiff_t ty = 0; ty < rows; ty++)
        for (ptrdiff_t tx = 0; tx < grid->ow; tx += LANES) {
            const real *const at = input + ty * panel->pitch + tx;
            real *const to = dst + ty * grid->ow + tx;
            vec d[WINOGRAD_POINTS];
            FC_UNROLL for (int i = 0; i < 6; i++) {
                FC_UNROLL for (int j = 0; j < 6; j++)
                    d[6 * i + j] = v_load(at + nchw_tap(grid, panel, i, j));
                winograd_input_6(d + 6 * i, 1);
            }
            FC_UNROLL for (int j = 0; j < 6; j++) {
                winograd_input_6(d + j, 6);
                FC_UNROLL for (int i = 0; i < 6; i++)
                    v_store(to + (6 * i + j) * plane, d[6 * i + j]);
            }
        }
}

/* mr output channels by nv vectors of tiles of one plane's matrix product. */
FC_INLINE void winograd_product(const real *input, ptrdiff_t tiles, const real *weight, ptrdiff_t c,
                                real *out, const int mr, const int nv)
{
    for (ptrdiff_t c0 = 0; c0 < c; c0 += WINOGRAD_CHANNELS) {
        vec acc[PIXEL_TILE_K][3];
        FC_UNROLL for (int m = 0; m < mr; m++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[m][v] = v_set1(0);
        for (ptrdiff_t i = FC_MIN(WINOGRAD_CHANNELS, c - c0); i > 0; i--, input += tiles, weight += mr) {
            vec x[3];
            FC_UNROLL for (int v = 0; v < nv; v++)
                x[v] = v_load(input + v * LANES);
            FC_UNROLL for (int m = 0; m < mr; m++) {
                const vec w = v_set1(weight[m]);
                FC_UNROLL for (int v = 0; v < nv; v++)
                    acc[m][v] = v_fma(w, x[v], acc[m][v]);
            }
        }
        FC_UNROLL for (int m = 0; m < mr; m++)
            FC_UNROLL for (int v = 0; v < nv; v++) {
                real *const to = out + m * tiles + v * LANES;
                v_store(to, c0 ? v_add(v_load(to), acc[m][v]) : acc[m][v]);
            }
    }
}

/* All tiles of one plane: by three vectors, the last two or four by two. */
static void winograd_products(const real *input, ptrdiff_t tiles, ptrdiff_t used, const real *weight,
                              ptrdiff_t c, real *out)
{
    ptrdiff_t left = ceil_div(used, LANES);
    while (left > 0) {
        const ptrdiff_t nv = left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3;
        if (nv == 3)
            winograd_product(input, tiles, weight, c, out, PIXEL_TILE_K, 3);
        else if (nv == 2)
            winograd_product(input, tiles, weight, c, out, PIXEL_TILE_K, 2);
        else
            winograd_product(input, tiles, weight, c, out, PIXEL_TILE_K, 1);
        input += nv * LANES, out += nv * LANES, left -= nv;
    }
}

/* Transform the products of one output channel back and write its rows of the image. */
static void winograd_output(const struct fc_conv2d *p, const real *product, ptrdiff_t plane,
                            ptrdiff_t used, ptrdiff_t rows, real bias, real *out, real *line)
{
    const ptrdiff_t tile_cols = ceil_div(p->ow, 4);
    for (ptrdiff_t t = 0; t < used; t += LANES) {
        vec m[WINOGRAD_POINTS], half[24], y[16];
        FC_UNROLL for (int j = 0; j < 6; j++) {
            FC_UNROLL for (int i = 0; i < 6; i++)
                m[6 * i + j] = v_load(product + (6 * i + j) * plane + t);
            winograd_output_4(m + j, 6, half + j, 6);
        }
        FC_UNROLL for (int i = 0; i < 4; i++)
            winograd_output_4(half + 6 * i, 1, y + 4 * i, 1);
        for (int i = 0; i < 4; i++) {
            /* Rows of tiles that have an i-th row of outputs. */
            const ptrdiff_t end = FC_MIN(ceil_div(rows - i, 4) * tile_cols, FC_MIN(used, t + LANES));
            vec row[4];
            if (end <= t)
                break;
            FC_UNROLL for (int j = 0; j < 4; j++)
                row[j] = activate(v_add(y[4 * i + j], v_set1(bias)), tile_activation(p));
            {
                const vec low_02 = v_zip_low(row[0], row[2]), high_02 = v_zip_high(row[0], row[2]);
                const vec low_13 = v_zip_low(row[1], row[3]), high_13 = v_zip_high(row[1], row[3]);
                v_store(line, v_zip_low(low_02, low_13));
                v_store(line + LANES, v_zip_high(low_02, low_13));
                v_store(line + 2 * LANES, v_zip_low(high_02, high_13));
                v_store(line + 3 * LANES, v_zip_high(high_02, high_13));
            }
            nchw_scatter(out + i * p->ow, 4 * p->ow, line, 4 * t, 4 * (end - t), 4 * tile_cols,
                         p->ow);
        }
    }
}

/* Does any number of a channel's panel make the transforms unsafe? */
static int winograd_unsafe(const real *input, ptrdiff_t count)
{
    vec zero = v_set1(0);
    real lanes[LANES];
    for (ptrdiff_t i = 0; i + LANES <= count; i += LANES)
        zero = v_fma(v_mul(v_load(input + i), v_set1(WINOGRAD_HEADROOM)), v_set1(0), zero);
    v_store(lanes, zero);
    for (ptrdiff_t i = 0; i < LANES; i++)
        if (lanes[i] != 0)
            return 1;
    return 0;
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

struct winograd_unit {
    const struct fc_conv2d *p;
    const real *x, *weight, *plain, *bias; /* of the group; weight transformed, plain not */
    real *out;                             /* of the group's first channel */
    ptrdiff_t y0, rows, k0, k1;
};

/* Compute the tiles again that no transform could be trusted with. */
static void winograd_repair(const struct winograd_unit *u)
{
    const struct fc_conv2d *const p = u->p;
    for (ptrdiff_t y = u->y0; y < u->y0 + u->rows; y += 4)
        for (ptrdiff_t x = 0; x < p->ow; x += 4)
            if (winograd_unsafe_patch(p, u->x, y, x))
                for (ptrdiff_t k = u->k0; k < u->k1; k++)
                    winograd_direct_tile(p, u->x, u->plain + k * p->c * 9,
                                         u->bias ? u->bias[k] : 0, y, x,
                                         u->out + k * p->oh * p->ow);
}

static void winograd_run_unit(const struct winograd_unit *u, char *scratch)
{
    const struct fc_conv2d *const p = u->p;
    const struct fc_conv2d grid = winograd_grid(p);
    const struct winograd_sizes s = winograd_sizes(p);
    const ptrdiff_t tile_rows = ceil_div(u->rows, 4), used = tile_rows * grid.ow;
    const struct nchw_panel panel = nchw_panel(&grid, tile_rows, grid.ow);
    real *const row = take(&scratch, nchw_row(&grid, &panel), sizeof(real));
    real *const patches = take(&scratch, panel.channel + LANES, sizeof(real));
    real *const input = take(&scratch, WINOGRAD_POINTS * s.input, sizeof(real));
    real *const product = take(&scratch, WINOGRAD_POINTS * s.product, sizeof(real));
    real *const line = take(&scratch, WINOGRAD_LINE, sizeof(real));
    int unsafe = 0;

    /* A row of tiles is read in whole vectors: past the panel's end, for lanes to spare. */
    memset(patches, 0, (size_t)(panel.channel + LANES) * sizeof(real));
    for (ptrdiff_t c = 0; c < p->c; c++) {
        nchw_fill(&grid, &panel, patches, row, u->x + c * p->h * p->w, 1, u->y0 / 4, 0);
        unsafe |= winograd_unsafe(patches, 16 * panel.phase);
        winograd_input(&grid, &panel, patches, tile_rows, input + c * s.tiles, s.input);
    }
    for (ptrdiff_t k = u->k0; k < u->k1; k += WINOGRAD_K) {
        const ptrdiff_t end = FC_MIN(k + WINOGRAD_K, u->k1);
        for (ptrdiff_t point = 0; point < WINOGRAD_POINTS; point++)
            for (ptrdiff_t i = k; i < end; i += PIXEL_TILE_K)
                winograd_products(input + point * s.input, s.tiles, used,
                                  u->weight + (i * WINOGRAD_POINTS + point * PIXEL_TILE_K) * p->c,
                                  p->c, product + point * s.product + (i - k) * s.tiles);
        for (ptrdiff_t i = k; i < end; i++)
            winograd_output(p, product + (i - k) * s.tiles, s.product, used, u->rows,
                            u->bias ? u->bias[i] : 0, u->out + (i * p->oh + u->y0) * p->ow, line);
    }
    if (unsafe)
        winograd_repair(u);
}

static void conv_winograd(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_conv2d *p = params;
    const ptrdiff_t blocks_k = ceil_div(p->k, p->block_k);
    const ptrdiff_t blocks_y = ceil_div(p->oh, p->block_rows);
    const real *const weight = p->weight, *const bias = p->bias;
    const real *const plain = weight + p->groups * winograd_packed_group(p);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const ptrdiff_t y0 = unit % blocks_y * p->block_rows;
        const ptrdiff_t k0 = unit / blocks_y % blocks_k * p->block_k;
        const ptrdiff_t sample = unit / blocks_y / blocks_k, g = sample % p->groups;
        const struct winograd_unit u = {
            .p = p,
            .x = (const real *)p->x + sample * p->c * p->h * p->w,
            .weight = weight + g * winograd_packed_group(p),
            .plain = plain + g * p->k * p->c * 9,
            .bias = bias ? bias + g * p->k : NULL,
            .out = (real *)p->out + sample * p->k * p->oh * p->ow,
            .y0 = y0,
            .rows = FC_MIN(p->block_rows, p->oh - y0),
            .k0 = k0,
            .k1 = FC_MIN(k0 + p->block_k, p->k),
        };
        winograd_run_unit(&u, scratch);
        finish_planes(p, sample * p->k + k0, u.k1 - k0, y0, u.rows, 0, p->ow);
    }
}
