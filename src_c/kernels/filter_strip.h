/* What the correlations share: the source rows of a strip (filter_lines.h), where they are or in a
 * ring of kh + FILTER_ROWS - 1 lines, are correlated with the kernel by register tiles. */

/* Output rows of a tile: each input vector is loaded once for all. A kernel has at least one row
 * less. */
#define FILTER_ROWS 6
#define FILTER_ROWS_LOW 4
#if VEC_REGS == 32
#define FILTER_VECTORS 4
#else
#define FILTER_VECTORS 2
#endif
#define FILTER_TILE (FILTER_VECTORS * LANES)

/* A kernel and the last multiply-add: result = sum * scale + delta. */
struct filter_taps {
    const real *weight; /* (kh, kw) */
    ptrdiff_t kh, kw, step; /* step: elements between taps of a row */
    real scale, delta;
};

/* Add a tap of an input row to the output rows [from, to) of a tile: weight of the first output
 * row. */
FC_INLINE void filter_tap(vec acc[FILTER_ROWS][FILTER_VECTORS], const real *x, const real *weight,
                          ptrdiff_t kw, const int from, const int to, const int nv)
{
    vec pixels[FILTER_VECTORS];
    FC_UNROLL for (int v = 0; v < nv; v++) {
        pixels[v] = v_load(x + v * LANES);
        FC_KEEP(pixels[v]);
    }
    FC_UNROLL for (int o = from; o < to; o++) {
        const vec w = v_set1(weight[-o * kw]);
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[o][v] = v_fma(w, pixels[v], acc[o][v]);
    }
}

/* Add input row i to them. */
FC_INLINE void filter_row(vec acc[FILTER_ROWS][FILTER_VECTORS], const real *x,
                          const struct filter_taps *t, ptrdiff_t i, ptrdiff_t kw, const int unrolled,
                          const int from, const int to, const int nv)
{
    const real *const weight = t->weight + i * kw;
    if (unrolled)
        FC_UNROLL for (int s = 0; s < unrolled; s++)
            filter_tap(acc, x + s * t->step, weight + s, kw, from, to, nv);
    else
        for (ptrdiff_t s = 0; s < kw; s++, x += t->step)
            filter_tap(acc, x, weight + s, kw, from, to, nv);
}

/* Tiles of `rows` output rows of FILTER_VECTORS vectors, at columns [x, end); every output sums its
 * taps row by row. */
FC_INLINE void filter_tiles(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                            const struct filter_taps *taps, ptrdiff_t kh, ptrdiff_t kw, real *out,
                            ptrdiff_t pitch, const int unrolled, const int rows)
{
    const struct filter_taps local = *taps, *const t = &local; /* which no store can change */
    const int nv = FILTER_VECTORS;
    for (; x < end; x += FILTER_TILE) {
        vec acc[FILTER_ROWS][FILTER_VECTORS];
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[o][v] = v_set1(0);
        if (rows == 1) {
            for (ptrdiff_t i = 0; i < kh; i++)
                filter_row(acc, row[i] + x, t, i, kw, 0, 0, 1, nv);
        } else {
            /* Only the output rows whose window holds an input row take part in it. */
            FC_UNROLL for (int i = 0; i < rows - 1; i++)
                filter_row(acc, row[i] + x, t, i, kw, unrolled, 0, i + 1, nv);
            for (ptrdiff_t i = rows - 1; i < kh; i++)
                filter_row(acc, row[i] + x, t, i, kw, unrolled, 0, rows, nv);
            FC_UNROLL for (int i = 1; i < rows; i++)
                filter_row(acc, row[kh + i - 1] + x, t, kh + i - 1, kw, unrolled, i, rows, nv);
        }
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                v_store(out + o * pitch + x + v * LANES,
                        v_fma(acc[o][v], v_set1(t->scale), v_set1(t->delta)));
    }
}

typedef void filter_tiles_function(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                                   const struct filter_taps *t, real *out, ptrdiff_t pitch);

static void filter_tiles_3x3(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                             const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, 3, 3, out, pitch, 3, FILTER_ROWS_LOW);
}
static void filter_tiles_low(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                             const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, FILTER_ROWS_LOW);
}
static void filter_tiles_tall(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                              const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, FILTER_ROWS);
}
static void filter_tiles_flat(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                              const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, 1);
}

/* How many output rows the tiles of a kernel have, of those that are left. */
FC_INLINE int filter_tile_rows(ptrdiff_t kh, ptrdiff_t left)
{
    if (kh >= FILTER_ROWS - 1 && left >= FILTER_ROWS)
        return FILTER_ROWS;
    return kh >= FILTER_ROWS_LOW - 1 && left >= FILTER_ROWS_LOW ? FILTER_ROWS_LOW : 1;
}

FC_INLINE filter_tiles_function *filter_tiles_of(const struct filter_taps *t, int rows)
{
    if (rows == FILTER_ROWS)
        return filter_tiles_tall;
    if (rows == FILTER_ROWS_LOW)
        return t->kh == 3 && t->kw == 3 ? filter_tiles_3x3 : filter_tiles_low;
    return filter_tiles_flat;
}

/* The lines of a step: those of tiles that are inside, and those of the others. */
struct filter_lines {
    const real **inside, **around;
    struct filter_inside in;
};

/* Whole tiles of the columns [0, count). */
FC_INLINE void filter_columns(filter_tiles_function *tiles, const struct filter_lines *from,
                              ptrdiff_t count, const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    tiles(from->around, 0, from->in.first, t, out, pitch);
    tiles(from->inside, from->in.first, from->in.end, t, out, pitch);
    tiles(from->around, from->in.end, count, t, out, pitch);
}

/* Correlate `rows` output rows (of filter_tile_rows) of `count` numbers; out points at the first.
 * */
static void filter_outputs(const struct fc_filter2d *p, const struct filter_taps *t,
                           const struct filter_lines *from, int rows, ptrdiff_t count, char *out,
                           real *line, ptrdiff_t line_pitch)
{
    filter_tiles_function *const tiles = filter_tiles_of(t, rows);
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype), pitch = p->ow * p->c;
    ptrdiff_t direct = 0;

    if (p->out_dtype == REAL_DTYPE) {
        direct = count - count % FILTER_TILE;
        filter_columns(tiles, from, direct, t, (real *)out, pitch);
        tiles(from->around, direct, count, t, line - direct, line_pitch);
    } else {
        filter_columns(tiles, from, count, t, line, line_pitch);
    }
    if (direct < count)
        for (int o = 0; o < rows; o++)
            store_from_real(out + (o * pitch + direct) * size, line + o * line_pitch, p->out_dtype,
                            count - direct);
}

struct filter_strip {
    ptrdiff_t slots, source, pitch, line_pitch; /* lines in the ring; numbers in a line */
};

static struct filter_strip filter_strip(const struct fc_filter2d *p)
{
    /* The last tile of a line reads, or writes, up to FILTER_TILE numbers past its end. */
    struct filter_strip s;
    s.slots = p->kh + FILTER_ROWS - 1;
    s.source = (p->block_cols + p->kw - 1) * p->c;
    s.pitch = odd_lines(s.source + FILTER_TILE);
    s.line_pitch = odd_lines(p->block_cols * p->c + FILTER_TILE);
    return s;
}

static size_t filter_scratch(const void *params)
{
    const struct filter_strip s = filter_strip(params);
    return 3 * taken(s.slots, sizeof(real *)) + taken((s.slots + 1) * s.pitch, sizeof(real)) +
           taken(FILTER_ROWS * s.line_pitch, sizeof(real));
}

/* One strip. Separable kernels are kh weights down the rows, then kw along them: the ring then
 * holds lines that are correlated along the row already. */
FC_INLINE void filter_unit(const struct fc_filter2d *p, const struct filter_block *b, char *scratch,
                           const int separable)
{
    const ptrdiff_t y0 = b->y0, y1 = b->y1, cols = b->cols;
    const struct filter_strip s = filter_strip(p);
    const struct filter_inside in = filter_inside(p, b, FILTER_TILE), none = {0, 0};
    const real **const around = take(&scratch, s.slots, sizeof *around);
    const real **const inside = take(&scratch, s.slots, sizeof *inside);
    const real **const found = take(&scratch, s.slots, sizeof *found); /* by slot: the line inside */
    real *const ring = take(&scratch, (s.slots + 1) * s.pitch, sizeof(real));
    real *const line = take(&scratch, FILTER_ROWS * s.line_pitch, sizeof(real));
    real *const fetched_line = ring + s.slots * s.pitch;
    const struct filter_lines from = {inside, around, separable ? none : in};
    const struct filter_taps along = {(const real *)p->kernel + p->kh, 1, p->kw, p->c, 1, 0};
    struct filter_taps taps = {p->kernel, p->kh, separable ? 1 : p->kw, p->c, (real)p->scale,
                               (real)p->delta};
    ptrdiff_t fetched = 0;
    int step;

    for (ptrdiff_t y = y0; y < y1; y += step) {
        step = filter_tile_rows(p->kh, y1 - y);
        for (; fetched < y - y0 + p->kh - 1 + step; fetched++) {
            real *const slot = ring + fetched % s.slots * s.pitch;
            real *const source = separable ? fetched_line : slot;
            const real *image = filter_fetch_around(p, source, b, y0 - p->top + fetched, in, 1);
            found[fetched % s.slots] = image;
            if (separable) {
                const real *around_line = source;
                const struct filter_lines lines = {&image, &around_line, in};
                filter_columns(filter_tiles_flat, &lines, cols * p->c, &along, slot, 0);
            }
        }
        for (ptrdiff_t i = 0; i < p->kh - 1 + step; i++) {
            around[i] = ring + (y - y0 + i) % s.slots * s.pitch;
            inside[i] = found[(y - y0 + i) % s.slots];
        }
        for (ptrdiff_t m = 0; m < p->m; m++) {
            const ptrdiff_t at = ((b->plane * p->m + m) * p->oh + y) * p->ow + b->x0;
            taps.weight = (const real *)p->kernel + m * p->kh * p->kw;
            filter_outputs(p, &taps, &from, step, cols * p->c,
                           (char *)p->out + at * p->c * (ptrdiff_t)dtype_size(p->out_dtype), line,
                           s.line_pitch);
        }
    }
}

FC_INLINE void filter_run(const struct fc_filter2d *p, ptrdiff_t begin, ptrdiff_t end, void *scratch,
                          const int separable)
{
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = filter_block(p, unit);
        filter_unit(p, &b, scratch, separable);
    }
}
