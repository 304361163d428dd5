/* How much every pixel is a corner (Harris; Shi and Tomasi), in one pass: slopes of the image,
 * their products, the means of those under a Gaussian, the response.
 *
 * Each row of slopes is made from a ring of source lines, down the columns first. Its products are
 * averaged along the row as they enter three rings, and those down their columns a few rows at a
 * time. For slopes of ksize taps and windows of kh x kw bound by loads: of the 4 * ksize + 3 * kw
 * of a row half, or more, cross a cache line; down the columns a load serves several rows. */

enum { CORNER_PRODUCTS = 3 }; /* dx * dx, dy * dy, dx * dy */

/* The Gaussian's size; lines in a ring; numbers in a source line, and in one of a ring. */
struct corners {
    ptrdiff_t kh, kw, slots, pitch, ring_pitch;
};

/* From one row of a part to the next; a tile may write past the end. */
#define CORNER_PITCH (FILTER_PART + FILTER_TILE)
#define CORNER_LINES (2 + 2 + CORNER_PRODUCTS)

FC_INLINE struct corners corners(const struct fc_filter2d *p)
{
    const ptrdiff_t kh = p->kh - p->ksize + 1, kw = p->kw - p->ksize + 1;
    /* The last tile of a line reads, or writes, up to FILTER_TILE numbers past its end. */
    const ptrdiff_t pitch = odd_lines((p->block_cols + p->kw - 1) * p->c + FILTER_TILE);
    const ptrdiff_t ring_pitch = odd_lines(p->block_cols * p->c + FILTER_TILE);
    return (struct corners){kh, kw, kh + FILTER_ROWS - 1, pitch, ring_pitch};
}

FC_SMALL size_t filter_corners_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    const struct corners s = corners(p);
    return taken(p->ksize + CORNER_PRODUCTS * s.slots, sizeof(real *)) +
           taken((p->ksize + CORNER_LINES) * s.pitch, sizeof(real)) +
           taken(CORNER_PRODUCTS * s.slots * s.ring_pitch, sizeof(real)) +
           taken(CORNER_PRODUCTS * FILTER_ROWS * CORNER_PITCH, sizeof(real));
}

/* The products of n slopes from ksize source lines: the last of CORNER_LINES lines. */
static void corner_products(const struct fc_filter2d *p, const struct corners *s,
                            const real *const *source, ptrdiff_t n, real *line)
{
    const real *const smooth = p->kernel, *const difference = smooth + p->ksize;
    const struct filter_taps down[2] = {{smooth, p->ksize, 1, p->c, 1, 0, 1, 0},
                                        {difference, p->ksize, 1, p->c, 1, 0, 1, 0}};
    const struct filter_taps along[2] = {{difference, 1, p->ksize, p->c, 1, 0, 1, 0},
                                         {smooth, 1, p->ksize, p->c, 1, 0, 1, 0}};
    for (int i = 0; i < 2; i++) {
        const real *const half = line + i * s->pitch;
        filter_tiles_flat(source, 0, n + (p->ksize - 1) * p->c, down + i, line + i * s->pitch, 0);
        filter_tiles_flat(&half, 0, n, along + i, line + (2 + i) * s->pitch, 0);
    }
    real *const dx = line + 2 * s->pitch, *const dy = dx + s->pitch, *const product = dy + s->pitch;
    for (ptrdiff_t x = 0; x < n; x += LANES) {
        const vec slope_x = v_load(dx + x), slope_y = v_load(dy + x);
        v_store(product + x, v_mul(slope_x, slope_x));
        v_store(product + s->pitch + x, v_mul(slope_y, slope_y));
        v_store(product + 2 * s->pitch + x, v_mul(slope_x, slope_y));
    }
}

/* det - k * trace**2, or the smaller eigenvalue, of n matrices of means; they replace the first. */
static void corner_responses(real *xx, const real *yy, const real *xy, ptrdiff_t n, real k,
                             int smaller)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec a = v_load(xx + i), b = v_load(yy + i), c = v_load(xy + i), trace = v_add(a, b);
        const vec half = v_set1(0.5f), difference = v_mul(v_sub(a, b), half);
        if (smaller)
            v_store(xx + i, v_sub(v_mul(trace, half),
                                  polar_length(polar_of(difference, c), difference, c)));
        else
            v_store(xx + i, v_sub(v_sub(v_mul(a, b), v_mul(c, c)),
                                  v_mul(v_mul(trace, trace), v_set1(k))));
    }
}

static void filter_corners(const struct fc_filter2d *p, const struct filter_block *b, char *scratch,
                           int smaller)
{
    const struct corners s = corners(p);
    const ptrdiff_t c = p->c, ksize = p->ksize, n = b->cols * c, seen = n + (s.kw - 1) * c;
    const real *const window = (const real *)p->kernel + 2 * ksize;
    const struct filter_taps down = {window, s.kh, 1, c, 1, 0, 1, 0};
    const struct filter_taps along = {window + s.kh, 1, s.kw, c, 1, 0, 1, 0};
    const real **const source = take(&scratch, ksize + CORNER_PRODUCTS * s.slots, sizeof *source);
    const real **const means = source + ksize;
    real *const lines = take(&scratch, (ksize + CORNER_LINES) * s.pitch, sizeof(real));
    real *const line = lines + ksize * s.pitch;
    real *const ring = take(&scratch, CORNER_PRODUCTS * s.slots * s.ring_pitch, sizeof(real));
    real *const part = take(&scratch, CORNER_PRODUCTS * FILTER_ROWS * CORNER_PITCH, sizeof(real));
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype);
    const struct filter_ends whole = fc_filter_ends(p, b, FILTER_NOWHERE);
    ptrdiff_t fetched = 0, made = 0; /* source lines, rows of products */
    int rows;

    for (ptrdiff_t y = b->y0; y < b->y1; y += rows) {
        const ptrdiff_t first = y - b->y0;
        rows = filter_tile_rows(p, &down, b->y1 - y);
        for (; made < first + s.kh - 1 + rows; made++) {
            for (; fetched < made + ksize; fetched++)
                filter_fetch(p, lines + fetched % ksize * s.pitch, &whole, b->y0 - p->top + fetched);
            for (ptrdiff_t i = 0; i < ksize; i++)
                source[i] = lines + (made + i) % ksize * s.pitch;
            corner_products(p, &s, source, seen, line);
            for (ptrdiff_t i = 0; i < CORNER_PRODUCTS; i++) {
                const real *const product = line + (4 + i) * s.pitch;
                filter_tiles_flat(&product, 0, n, &along,
                                  ring + (i * s.slots + made % s.slots) * s.ring_pitch, 0);
            }
        }
        for (ptrdiff_t i = 0; i < CORNER_PRODUCTS; i++)
            for (ptrdiff_t j = 0; j < s.kh - 1 + rows; j++)
                means[i * s.slots + j] =
                    ring + (i * s.slots + (first + j) % s.slots) * s.ring_pitch;
        for (ptrdiff_t x = 0, count; x < n; x += count) {
            real *const mean[] = {part, part + FILTER_ROWS * CORNER_PITCH,
                                  part + 2 * FILTER_ROWS * CORNER_PITCH};
            char *const out = (char *)p->out +
                              (((b->plane * p->oh + y) * p->ow + b->x0) * c + x) * size;
            count = FC_MIN(n - x, FILTER_PART);
            for (ptrdiff_t i = 0; i < CORNER_PRODUCTS; i++)
                filter_tiles_of(&down, rows)(means + i * s.slots, x, x + count, &down, mean[i] - x,
                                             CORNER_PITCH);
            for (ptrdiff_t o = 0, at = 0; o < rows; o++, at += CORNER_PITCH) {
                corner_responses(mean[0] + at, mean[1] + at, mean[2] + at, count, (real)p->scale,
                                 smaller);
                store_from_real(out + o * p->ow * c * size, mean[0] + at, p->out_dtype, count);
            }
        }
    }
}

static void filter_harris(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(params, unit);
        filter_corners(params, &b, scratch, 0);
    }
}

static void filter_shi_tomasi(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(params, unit);
        filter_corners(params, &b, scratch, 1);
    }
}
