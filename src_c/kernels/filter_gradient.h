/* Both slopes of an image by a pair of 3x3 kernels, their length and their direction, in one pass.
 *
 * Tiles of a few rows load each pixel once for both slopes; length and direction (polar.h) follow
 * while a part of a row is in the L1 cache. Bound by memory where all four are asked for: 16 bytes
 * of results for each pixel; arithmetic are 18 multiply-adds, one division and one root. Products
 * by 0 are among them: they make a NaN of what is not finite. */

enum { GRADIENT_DX, GRADIENT_DY, GRADIENT_MAGNITUDE, GRADIENT_ANGLE, GRADIENTS };

#if VEC_REGS == 32
#define GRADIENT_ROWS 4
#else
#define GRADIENT_ROWS 2
#endif
#define GRADIENT_VECTORS 2
/* From one row of a part to the next; a tile may write past the end. */
#define GRADIENT_PITCH (FILTER_PART + FILTER_TILE)

static size_t filter_gradient_scratch(const void *params)
{
    return filter_rows_taken(params, FILTER_TILE) +
           taken(2 * GRADIENT_ROWS * GRADIENT_PITCH, sizeof(real));
}

/* Weights by their sign and place: beside the middle of the smoothing, in it. */
#define GRADIENT_WEIGHT(sign, middle) weight[2 + (sign) * ((middle) ? 2 : 1) * ((sign) != 0)]

/* Tiles of `rows` rows at columns [x, end): dx from `out` on, dy GRADIENT_ROWS rows later. The
 * order of each sum is that of filter_strip.h, and so are the bits. */
FC_INLINE void slopes_tiles(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                              const struct filter_taps *t, real *out, ptrdiff_t pitch,
                              const int rows)
{
    const ptrdiff_t c = t->step;
    const real side = t->weight[0], middle = t->weight[1];
    const vec weight[5] = {v_set1(-middle), v_set1(-side), v_set1(0), v_set1(side), v_set1(middle)};
    for (; x < end; x += GRADIENT_VECTORS * LANES) {
        vec dx[GRADIENT_ROWS][GRADIENT_VECTORS], dy[GRADIENT_ROWS][GRADIENT_VECTORS];
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < GRADIENT_VECTORS; v++)
                dx[o][v] = dy[o][v] = v_set1(0);
        FC_UNROLL for (int i = 0; i < rows + 2; i++)
            FC_UNROLL for (int s = 0; s < 3; s++)
                FC_UNROLL for (int v = 0; v < GRADIENT_VECTORS; v++) {
                    vec pixels = v_load(row[i] + x + s * c + v * LANES);
                    FC_KEEP(pixels);
                    FC_UNROLL for (int k = 0; k < 3; k++) /* the row of the kernel */
                        if (i - k >= 0 && i - k < rows) {
                            vec *const sum_x = &dx[i - k][v], *const sum_y = &dy[i - k][v];
                            *sum_x = v_fma(GRADIENT_WEIGHT(s - 1, k == 1), pixels, *sum_x);
                            *sum_y = v_fma(GRADIENT_WEIGHT(k - 1, s == 1), pixels, *sum_y);
                        }
                }
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < GRADIENT_VECTORS; v++) {
                v_store(out + o * pitch + x + v * LANES, dx[o][v]);
                v_store(out + (GRADIENT_ROWS + o) * pitch + x + v * LANES, dy[o][v]);
            }
    }
}

static void slopes_tiles_whole(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                                 const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    slopes_tiles(row, x, end, t, out, pitch, GRADIENT_ROWS);
}
static void slopes_tiles_flat(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                                const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    slopes_tiles(row, x, end, t, out, pitch, 1);
}

/* n numbers of all that is wanted; dst may end with them. */
static void slopes_polar(const real *dx, const real *dy, ptrdiff_t n, real *const dst[GRADIENTS])
{
    const struct {
        real *dx, *dy, *magnitude, *angle;
    } to = {dst[GRADIENT_DX], dst[GRADIENT_DY], dst[GRADIENT_MAGNITUDE], dst[GRADIENT_ANGLE]};
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec x = v_load(dx + i), y = v_load(dy + i);
        if (to.dx)
            store_up_to(to.dx, i, n, x);
        if (to.dy)
            store_up_to(to.dy, i, n, y);
        if (!to.magnitude && !to.angle)
            continue;
        const struct polar p = polar_of(x, y);
        if (to.magnitude)
            store_up_to(to.magnitude, i, n, polar_length(p, x, y));
        if (to.angle)
            store_up_to(to.angle, i, n, polar_angle(p, x, y));
    }
}

/* All that is wanted of a part of a row, n numbers from `at` on. */
static void slopes_store(const struct fc_filter2d *p, const real *dx, const real *dy, ptrdiff_t n,
                           ptrdiff_t at)
{
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype);
    real made[GRADIENTS][FILTER_PART], *dst[GRADIENTS];
    char *outs[GRADIENTS] = {p->out, p->more[0], p->more[1], p->more[2]};
    for (int i = 0; i < GRADIENTS; i++) {
        outs[i] = outs[i] ? outs[i] + at * size : NULL;
        dst[i] = !outs[i] ? NULL : p->out_dtype == REAL_DTYPE ? (real *)(void *)outs[i] : made[i];
    }
    slopes_polar(dx, dy, n, dst);
    for (int i = 0; i < GRADIENTS; i++)
        if (dst[i] == made[i])
            store_from_real(outs[i], made[i], p->out_dtype, n);
}

static void filter_gradient(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const struct filter_taps taps = {.weight = p->kernel, .step = p->c};
    assert(p->kh == 3 && p->kw == 3);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = filter_block(p, unit);
        char *area = scratch;
        const struct filter_rows all = filter_rows(p, &b, FILTER_TILE, &area);
        real *const dx = take(&area, 2 * GRADIENT_ROWS * GRADIENT_PITCH, sizeof(real));
        real *const dy = dx + GRADIENT_ROWS * GRADIENT_PITCH;
        ptrdiff_t rows;
        for (ptrdiff_t y = b.y0; y < b.y1; y += rows) {
            const struct filter_lines from = {
                all.inside + y - b.y0, (const real **)all.around + y - b.y0, all.in};
            const ptrdiff_t at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            rows = b.y1 - y >= GRADIENT_ROWS ? GRADIENT_ROWS : 1;
            for (ptrdiff_t x = 0, n; x < b.cols * p->c; x += n) {
                n = FC_MIN(b.cols * p->c - x, FILTER_PART);
                filter_columns(rows > 1 ? slopes_tiles_whole : slopes_tiles_flat, &from, x,
                               x + n, &taps, dx - x, GRADIENT_PITCH);
                for (ptrdiff_t o = 0; o < rows; o++)
                    slopes_store(p, dx + o * GRADIENT_PITCH, dy + o * GRADIENT_PITCH, n,
                                   at + o * p->ow * p->c + x);
            }
        }
    }
}
