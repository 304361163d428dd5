/* The slopes of an image by a pair of 3x3 kernels, their length and their direction, in one pass.
 *
 * A row of a window is summed and subtracted first, then rows are: the slopes of equal pixels are 0,
 * which those of a flat image would not be if their terms were summed one by one, and the next
 * window down needs the sum and the difference of that row again. Products by 0 are what is left of
 * weights of 0: they make a NaN of what is not finite.
 *
 * Tiles of a few rows; length and direction (polar.h) follow while a part of a row is in the L1
 * cache. Bound by memory: 8 to 20 bytes for each pixel; arithmetic are 13 operations, one division
 * and one root where both slopes and all that follows from them is wanted, 6 for one alone. */

enum { GRADIENT_DX, GRADIENT_DY, GRADIENT_MAGNITUDE, GRADIENT_ANGLE, GRADIENTS };
/* What a tile makes. */
enum { SLOPES_X = 1, SLOPES_Y = 2, SLOPES = SLOPES_X | SLOPES_Y };

#define GRADIENT_ROWS 4
#if VEC_REGS == 32
#define GRADIENT_VECTORS 2
#else
#define GRADIENT_VECTORS 1
#endif
/* From one row of a part to the next; a tile may write past the end. */
#define GRADIENT_PITCH (FILTER_PART + FILTER_TILE)
#define GRADIENT_PART (2 * GRADIENT_ROWS * GRADIENT_PITCH)

FC_SMALL size_t filter_gradient_scratch(const void *params)
{
    return taken(GRADIENT_PART, sizeof(real)) + filter_scratch(params, 0);
}

#if V_PART /* else the three pixels along a row are all loaded */
#define SLOPES_MOST (LANES / 2) /* channels of images that tiles of several rows are for */
#else
#define SLOPES_MOST PTRDIFF_MAX
#endif

/* The three pixels along a row that vector v of a tile sees. Tiles of several rows are bound by loads,
 * most of which cross a cache line: of `held`, what the last vector ends with, and one more load. */
FC_INLINE void slopes_pixels(vec pixel[3], vec *held, const real *from, ptrdiff_t c, const int v,
                             const int rows)
{
#if V_PART
    if (rows > 1) {
        pixel[0] = v ? *held : v_load(from);
        *held = v_load(from + LANES);
        FC_KEEP(*held);
        pixel[1] = v_part(pixel[0], *held, v_places_from((int)c));
        pixel[2] = v_part(pixel[0], *held, v_places_from((int)(2 * c)));
        return;
    }
#endif
    (void)held, (void)v, (void)rows;
    FC_UNROLL for (int s = 0; s < 3; s++) {
        pixel[s] = v_load(from + s * c);
        FC_KEEP(pixel[s]);
    }
}

/* Tiles of `rows` rows at columns [x, end). One slope is stored from `out` on; of both dx, and dy
 * GRADIENT_ROWS rows later. */
FC_INLINE void slopes_tiles(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                            const struct filter_taps *taps, real *out, ptrdiff_t pitch,
                            const int rows, const int wanted)
{
    const struct filter_taps t = *taps; /* which no store can change */
    real *const dy_out = wanted == SLOPES ? out + GRADIENT_ROWS * pitch : out;
    const vec side = v_set1(t.weight[0]), middle = v_set1(t.weight[1]), zero = v_set1(0);
    const vec scale = v_set1(t.scale), delta = v_set1(t.delta);
    for (; x < end; x += GRADIENT_VECTORS * LANES) {
        /* The sums and the differences of the last three rows, and a NaN for what is not finite. */
        vec sum[GRADIENT_ROWS + 2][GRADIENT_VECTORS], far[GRADIENT_ROWS + 2][GRADIENT_VECTORS];
        vec nan[GRADIENT_ROWS + 2][GRADIENT_VECTORS];
        vec dx[GRADIENT_ROWS][GRADIENT_VECTORS], dy[GRADIENT_ROWS][GRADIENT_VECTORS];
        vec held = zero;
        filter_rows_ahead(row + 2, x, &t, rows, GRADIENT_VECTORS);
        FC_UNROLL for (int i = 0; i < rows + 2; i++)
            FC_UNROLL for (int v = 0; v < GRADIENT_VECTORS; v++) {
                vec pixel[3];
                slopes_pixels(pixel, &held, row[i] + x + v * LANES, t.step, v, rows);
                if (wanted & SLOPES_X)
                    far[i][v] = v_fma(zero, pixel[1], v_sub(pixel[2], pixel[0]));
                if (wanted & SLOPES_Y) {
                    sum[i][v] = v_fma(
                        side, pixel[2], v_fma(middle, pixel[1], v_mul(side, pixel[0])));
                    nan[i][v] = v_fma(zero, pixel[2], v_fma(zero, pixel[1], v_mul(zero, pixel[0])));
                }
                if (i < 2)
                    continue;
                if (wanted & SLOPES_X) {
                    const vec above = v_fma(middle, far[i - 1][v], v_mul(side, far[i - 2][v]));
                    dx[i - 2][v] = v_fma(v_fma(side, far[i][v], above), scale, delta);
                }
                if (wanted & SLOPES_Y) {
                    const vec down = v_add(v_sub(sum[i][v], sum[i - 2][v]), nan[i - 1][v]);
                    dy[i - 2][v] = v_fma(down, scale, delta);
                }
            }
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < GRADIENT_VECTORS; v++) {
                if (wanted & SLOPES_X)
                    filter_put(out + o * pitch + x + v * LANES, dx[o][v], t.stream);
                if (wanted & SLOPES_Y)
                    filter_put(dy_out + o * pitch + x + v * LANES, dy[o][v], t.stream);
            }
    }
}

#define SLOPES_TILES(name, rows, wanted)                                                          \
    static void name(const real *const *row, ptrdiff_t x, ptrdiff_t end,                          \
                     const struct filter_taps *t, real *out, ptrdiff_t pitch)                     \
    {                                                                                             \
        slopes_tiles(row, x, end, t, out, pitch, rows, wanted);                                   \
    }
SLOPES_TILES(slopes_tiles_x, GRADIENT_ROWS, SLOPES_X)
SLOPES_TILES(slopes_tiles_y, GRADIENT_ROWS, SLOPES_Y)
SLOPES_TILES(slopes_tiles_both, GRADIENT_ROWS, SLOPES)
SLOPES_TILES(slopes_tiles_flat, 1, SLOPES)

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

/* What is wanted of the tiles. */
FC_INLINE int slopes_wanted(const struct fc_filter2d *p)
{
    if (p->more[1] || p->more[2] || (p->out && p->more[0]))
        return SLOPES;
    return p->out ? SLOPES_X : SLOPES_Y;
}

static void filter_gradient(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    struct filter_taps by_line = {.weight = p->kernel, .step = p->c, .scale = (real)p->scale,
                                        .delta = (real)p->delta};
    struct filter_taps straight = by_line;
    const int wanted = slopes_wanted(p);
    real *const only = wanted == SLOPES_X ? p->out : wanted == SLOPES_Y ? p->more[0] : NULL;
    filter_tiles_function *const whole = wanted == SLOPES ? slopes_tiles_both
                                       : wanted == SLOPES_X ? slopes_tiles_x : slopes_tiles_y;
    const ptrdiff_t pitch = p->ow * p->c;
    char *area = scratch;
    real *const dx = take(&area, GRADIENT_PART, sizeof(real));
    real *const dy = dx + GRADIENT_ROWS * GRADIENT_PITCH;
    straight.stream = filter_streams(p);
    assert(p->kh == 3 && p->kw == 3);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const ptrdiff_t count = b.cols * p->c, head = only ? filter_head(p, &b, only) : 0;
        struct filter_strip_rows source = filter_strip_rows(p, &b, head, area, 0);
        int rows, direct;
        for (ptrdiff_t y = b.y0; y < b.y1; y += rows) {
            rows = p->c <= SLOPES_MOST && b.y1 - y >= GRADIENT_ROWS ? GRADIENT_ROWS : 1;
            straight.ahead = by_line.ahead = filter_tiles_ahead(p, &source, rows);
            const struct filter_lines from = filter_strip_seen(p, &b, &source, y, rows, 0);
            const ptrdiff_t at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            filter_tiles_function *const tiles = rows > 1 ? whole : slopes_tiles_flat;
            real *const part = tiles == slopes_tiles_y ? dy : dx;
            for (ptrdiff_t x = 0, n; x < count; x += n) {
                n = filter_part(p, x, head, count, &direct);
                if (direct && only && rows > 1) {
                    filter_columns(tiles, &from, x, x + n, &straight, only + at, pitch);
                    continue;
                }
                n = FC_MIN(n, FILTER_PART);
                filter_columns(tiles, &from, x, x + n, &by_line, part - x, GRADIENT_PITCH);
                for (int o = 0; o < rows; o++)
                    slopes_store(p, dx + o * GRADIENT_PITCH, dy + o * GRADIENT_PITCH, n,
                                 at + o * pitch + x);
            }
        }
    }
    v_stream_end();
}
