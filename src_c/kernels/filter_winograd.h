/* Correlation with large kernels by Winograd's F(2, 2) of F(3, 3) down the columns: of 36
 * multiplications for 6 output rows and 6 kernel rows 15 are left.
 *
 * Each 5 source rows that begin at a multiple of 3 become the values of a polynomial at the points
 * +-3/8, +-1 and infinity, 3 kernel rows likewise. Neighbours of these are joined as F(2, 2) does:
 * with values v0, v1, v2 and weights w0, w1 at a point, v0 w0 + v1 w1 and v1 w0 + v2 w1 are sums of
 * (v0 - v1) w0, v1 (w0 + w1) and (v2 - v1) w1. So there are 15 planes of a sixth of the rows. Plane
 * by plane they are correlated by the tiles of filter_strip.h, and 15 rows of sums become 6 rows of
 * outputs. F(4, 4) has 7 products for 16, but an rms error of 1.5 to 3 times that of direct sums,
 * where this has 0.5 to 2.
 *
 * What is not finite reaches other outputs of its tile, too: results that are not are summed
 * directly. Each is replaced by itself, so it does not matter what else is computed at a time.
 *
 * Bound by arithmetic: 5 / 6 * 3 * ceil(kh / 6) * kw multiply-adds for each output, or less where a
 * last part has no second half. */

#define DOWN_ROWS 3 /* of outputs, and of a kernel's rows, of F(3, 3) */
#define DOWN_POINTS 5
#define DOWN_SEEN (2 * DOWN_ROWS - 1) /* source rows of it */
#define DOWN_TILE (2 * DOWN_ROWS)     /* rows of outputs, and of a kernel's part */
#define DOWN_TILE_SEEN (2 * DOWN_TILE - 1)
/* The products of F(2, 2): of a tile's first values, of those of both, of the last. */
enum { DOWN_FIRST, DOWN_BOTH, DOWN_SECOND, DOWN_SETS };
#define DOWN_PLANES (DOWN_SETS * DOWN_POINTS)

/* The finite points are +-A and +-B; all coefficients below are exact in a float. */
#define DOWN_A 0.375
#define DOWN_B 1.
static const double down_point[DOWN_POINTS - 1] = {DOWN_A, -DOWN_A, DOWN_B, -DOWN_B};

/* Row p: the coefficients, lowest first, of the product of all (x - q), q another point; infinity last. */
#define DOWN_A2 (DOWN_A * DOWN_A)
#define DOWN_B2 (DOWN_B * DOWN_B)
static const double down_values[DOWN_POINTS][DOWN_SEEN] = {
    {-DOWN_A * DOWN_B2, -DOWN_B2, DOWN_A, 1, 0},
    {DOWN_A * DOWN_B2, -DOWN_B2, -DOWN_A, 1, 0},
    {-DOWN_A2 * DOWN_B, -DOWN_A2, DOWN_B, 1, 0},
    {DOWN_A2 * DOWN_B, -DOWN_A2, -DOWN_B, 1, 0},
    {DOWN_A2 * DOWN_B2, 0, -DOWN_A2 - DOWN_B2, 0, 1},
};

/* Parts of a kernel, its last one may have no second half; those of a set of products; and the weights
 * of a plane. */
FC_INLINE ptrdiff_t down_parts(const struct fc_filter2d *p) { return ceil_div(p->kh, DOWN_TILE); }
FC_INLINE ptrdiff_t down_parts_of(const struct fc_filter2d *p, int set)
{
    return set == DOWN_SECOND ? ceil_div(p->kh, DOWN_ROWS) / 2 : down_parts(p);
}
FC_INLINE ptrdiff_t down_weights(const struct fc_filter2d *p) { return down_parts(p) * p->kw; }

/* The polynomial of up to DOWN_ROWS weights, kw apart, at a point, divided by that of down_values. */
static double down_weight(const real *w, ptrdiff_t kw, ptrdiff_t rows, int j)
{
    double value = 0, divisor = 0;
    if (j == DOWN_POINTS - 1)
        return rows >= DOWN_ROWS ? (double)w[(DOWN_ROWS - 1) * kw] : 0;
    for (ptrdiff_t r = FC_MIN(rows, DOWN_ROWS) - 1; r >= 0; r--)
        value = value * down_point[j] + (double)w[r * kw];
    for (int r = DOWN_SEEN - 1; r >= 0; r--)
        divisor = divisor * down_point[j] + down_values[j][r];
    return value / divisor;
}

/* The planes of a kernel. */
static void down_kernel(const struct fc_filter2d *p, real *planes, const real *kernel)
{
    const ptrdiff_t size = down_weights(p), kw = p->kw;
    for (ptrdiff_t i = 0; i < size; i++) {
        const ptrdiff_t y = i / kw * DOWN_TILE, rows = p->kh - y;
        const real *const w = kernel + y * kw + i % kw;
        for (int j = 0; j < DOWN_POINTS; j++) {
            const double first = down_weight(w, kw, rows, j);
            const double second = down_weight(w + DOWN_ROWS * kw, kw, rows - DOWN_ROWS, j);
            real *const plane = planes + j * size + i;
            plane[DOWN_FIRST * DOWN_POINTS * size] = (real)first;
            plane[DOWN_BOTH * DOWN_POINTS * size] = (real)(first + second);
            plane[DOWN_SECOND * DOWN_POINTS * size] = (real)second;
        }
    }
}

/* The value of DOWN_SEEN rows at a point. */
FC_INLINE vec down_value(const vec *d, const int j)
{
    const int last = j == DOWN_POINTS - 1 ? DOWN_SEEN - 1 : DOWN_SEEN - 2;
    vec value = d[last]; /* whose coefficient is 1 */
    FC_UNROLL for (int r = last - 1; r >= 0; r--)
        if (down_values[j][r] != 0)
            value = v_fma(v_set1((real)down_values[j][r]), d[r], value);
    return value;
}

/* n numbers of a tile's source rows in all planes: line j of `values` is pitch * j numbers away. */
static void down_source(real *values, ptrdiff_t pitch, const real *const *row, ptrdiff_t n)
{
    real *const first = values + DOWN_FIRST * DOWN_POINTS * pitch;
    real *const both = values + DOWN_BOTH * DOWN_POINTS * pitch;
    real *const second = values + DOWN_SECOND * DOWN_POINTS * pitch;
    for (ptrdiff_t x = 0; x < n; x += LANES) {
        vec d[DOWN_TILE_SEEN];
        FC_UNROLL for (int r = 0; r < DOWN_TILE_SEEN; r++) {
            d[r] = v_load(row[r] + x);
            FC_KEEP(d[r]);
        }
        FC_UNROLL for (int j = 0; j < DOWN_POINTS; j++) {
            const vec middle = down_value(d + DOWN_ROWS, j);
            v_store(first + j * pitch + x, v_sub(down_value(d, j), middle));
            v_store(both + j * pitch + x, middle);
            v_store(second + j * pitch + x, v_sub(down_value(d + DOWN_TILE, j), middle));
        }
    }
}

/* DOWN_ROWS rows of outputs from the sums at all points, each of two sets. Is one of them not finite? */
static int down_result(const struct filter_taps *t, real *out, ptrdiff_t out_pitch,
                       const real *sums, const real *others, ptrdiff_t pitch, ptrdiff_t n)
{
    const vec scale = v_set1(t->scale), delta = v_set1(t->delta);
    vec wild = v_set1(0);
    for (ptrdiff_t x = 0; x < n; x += LANES) {
        vec y[DOWN_ROWS], sum[DOWN_POINTS];
        FC_UNROLL for (int j = 0; j < DOWN_POINTS; j++)
            sum[j] = v_add(load_up_to(sums + j * pitch, x, n), load_up_to(others + j * pitch, x, n));
        FC_UNROLL for (int r = 0; r < DOWN_ROWS; r++) {
            y[r] = r == DOWN_ROWS - 1 ? sum[DOWN_POINTS - 1] : v_set1(0);
            FC_UNROLL for (int j = 0; j < DOWN_POINTS - 1; j++) {
                const double p = down_point[j], power = r == 0 ? 1 : r == 1 ? p : p * p;
                y[r] = v_fma(v_set1((real)power), sum[j], y[r]);
            }
            filter_mark(&wild, y[r]);
            v_store(out + r * out_pitch + x, v_fma(y[r], scale, delta));
        }
    }
    return filter_marked(wild);
}

struct down_strip {
    ptrdiff_t slots;       /* tiles of the source that are kept */
    ptrdiff_t source, out; /* numbers from one line to the next */
};

static struct down_strip down_strip(const struct fc_filter2d *p)
{
    struct down_strip s;
    s.slots = down_parts(p) + FILTER_ROWS - 1;
    s.source = odd_lines((p->block_cols + p->kw - 1) * p->c + FILTER_TILE);
    s.out = odd_lines(p->block_cols * p->c + FILTER_TILE);
    return s;
}

/* Source rows that are kept, and those of direct sums of a tile. */
#define DOWN_KEPT (2 * DOWN_TILE)
FC_INLINE ptrdiff_t down_lines(const struct fc_filter2d *p) { return DOWN_KEPT + p->kh + DOWN_ROWS - 1; }

FC_SMALL size_t filter_winograd_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    const struct down_strip s = down_strip(p);
    return taken(p->m * DOWN_PLANES * down_weights(p), sizeof(real)) +
           taken(down_lines(p), sizeof(real *)) + taken(down_lines(p) * s.source, sizeof(real)) +
           taken(DOWN_PLANES * s.slots * s.source, sizeof(real)) +
           taken(DOWN_PLANES * FILTER_ROWS * s.out, sizeof(real)) +
           taken(2 * DOWN_ROWS * s.out, sizeof(real));
}

/* A block, and the areas of scratch memory. */
struct down_work {
    const struct fc_filter2d *p;
    const struct filter_block *b;
    struct filter_ends whole;
    struct down_strip s;
    const real *planes; /* of all kernels */
    const real **row;
    real *lines, *values, *sums, *out;
    ptrdiff_t n; /* numbers of a row of outputs */
};

/* Outputs of a tile from row y on that are not finite become direct sums. */
FC_SMALL void down_direct(const struct down_work *w, struct filter_taps taps, ptrdiff_t y)
{
    const struct fc_filter2d *const p = w->p;
    real *const direct = w->out + DOWN_ROWS * w->s.out;
    for (ptrdiff_t i = 0; i < p->kh + DOWN_ROWS - 1; i++) {
        real *const line = w->lines + (DOWN_KEPT + i) * w->s.source;
        filter_fetch(p, line, &w->whole, y - p->top + i);
        w->row[i] = line;
    }
    taps.kh = p->kh;
    for (ptrdiff_t r = 0; r < DOWN_ROWS; r++)
        filter_tiles_flat(w->row + r, 0, w->n, &taps, direct + r * w->s.out, 0);
    for (ptrdiff_t r = 0; r < DOWN_ROWS * w->s.out; r += w->s.out)
        for (ptrdiff_t i = r; i < r + w->n; i++)
            if (!isfinite(w->out[i]))
                w->out[i] = direct[i];
}

/* Transform the source rows of tile i of the block. */
static void down_fetch(const struct down_work *w, ptrdiff_t i)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t first = w->b->y0 + i * DOWN_TILE;
    /* The last rows of a tile are the first of the next. */
    for (ptrdiff_t r = 0; r < DOWN_TILE_SEEN; r++) {
        real *const line = w->lines + (first + r) % DOWN_KEPT * w->s.source;
        if (i == 0 || r >= DOWN_TILE_SEEN - DOWN_TILE)
            filter_fetch(p, line, &w->whole, first - p->top + r);
        w->row[r] = line;
    }
    down_source(w->values + i % w->s.slots * w->s.source, w->s.slots * w->s.source, w->row,
                (w->b->cols + p->kw - 1) * p->c);
}

/* The sums of `rows` tiles, from tile i of the block on, in a plane. */
static void down_sums(const struct down_work *w, struct filter_taps taps, ptrdiff_t i, int rows,
                      ptrdiff_t m, int plane)
{
    const ptrdiff_t size = down_weights(w->p);
    taps.kh = down_parts_of(w->p, plane / DOWN_POINTS);
    for (ptrdiff_t r = 0; r < rows + taps.kh - 1; r++)
        w->row[r] = w->values + (plane * w->s.slots + (i + r) % w->s.slots) * w->s.source;
    taps.weight = w->planes + (m * DOWN_PLANES + plane) * size;
    taps.scale = 1;
    taps.delta = 0;
    filter_tiles_of(&taps, rows)(w->row, 0, w->n, &taps, w->sums + plane * FILTER_ROWS * w->s.out,
                                 w->s.out);
}

static void down_block(const struct down_work *w)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t tiles = ceil_div(w->b->y1 - w->b->y0, DOWN_TILE), parts = down_parts(p);
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype), pitch = FILTER_ROWS * w->s.out;
    /* The set of the fewest parts says how many rows of them a tile of filter_strip.h may have. */
    struct filter_taps taps = {.kh = down_parts_of(p, DOWN_SECOND), .kw = p->kw, .step = p->c,
                               .phases = 1, .scale = (real)p->scale, .delta = (real)p->delta};
    ptrdiff_t fetched = 0;
    int rows;
    for (ptrdiff_t i = 0; i < tiles; i += rows) {
        rows = filter_tile_rows(p, &taps, tiles - i);
        for (; fetched < i + rows + parts - 1; fetched++)
            down_fetch(w, fetched);
        for (ptrdiff_t m = 0; m < p->m; m++) {
            for (int plane = 0; plane < DOWN_PLANES; plane++)
                down_sums(w, taps, i, rows, m, plane);
            taps.weight = (const real *)p->kernel + m * p->kh * p->kw;
            for (ptrdiff_t r = 0; r < 2 * rows; r++) {
                const ptrdiff_t y = w->b->y0 + i * DOWN_TILE + r * DOWN_ROWS;
                const int set = r % 2 ? DOWN_SECOND : DOWN_FIRST;
                const real *const sums = w->sums + r / 2 * w->s.out;
                const int wild = down_result(&taps, w->out, w->s.out, sums + set * DOWN_POINTS * pitch,
                                             sums + DOWN_BOTH * DOWN_POINTS * pitch, pitch, w->n);
                if (wild)
                    down_direct(w, taps, y);
                for (ptrdiff_t o = 0; o < DOWN_ROWS && y + o < w->b->y1; o++) {
                    const ptrdiff_t plane = w->b->plane * p->m + m;
                    const ptrdiff_t at = ((plane * p->oh + y + o) * p->ow + w->b->x0) * p->c;
                    store_from_real((char *)p->out + at * size, w->out + o * w->s.out, p->out_dtype,
                                    w->n);
                }
            }
        }
    }
}

static void filter_winograd(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const struct down_strip s = down_strip(p);
    const ptrdiff_t weights = DOWN_PLANES * down_weights(p);
    char *area = scratch;
    real *const planes = take(&area, p->m * weights, sizeof(real));
    const real **const row = take(&area, down_lines(p), sizeof *row);
    real *const lines = take(&area, down_lines(p) * s.source, sizeof(real));
    real *const values = take(&area, DOWN_PLANES * s.slots * s.source, sizeof(real));
    real *const sums = take(&area, DOWN_PLANES * FILTER_ROWS * s.out, sizeof(real));
    real *const out = take(&area, 2 * DOWN_ROWS * s.out, sizeof(real));

    for (ptrdiff_t m = 0; m < p->m; m++)
        down_kernel(p, planes + m * weights, (const real *)p->kernel + m * p->kh * p->kw);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const struct down_work w = {p, &b, fc_filter_ends(p, &b, FILTER_NOWHERE), s, planes, row, lines,
                                    values, sums, out, b.cols * p->c};
        down_block(&w);
    }
}
