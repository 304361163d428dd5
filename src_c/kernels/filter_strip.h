/* What the correlations share: the source rows of a strip (filter_lines.h) pass through a ring of kh +
 * FILTER_ROWS - 1 lines, and register tiles correlate the lines with the kernel. */

#define FILTER_ROWS 4 /* output rows of a tall tile: each input vector is loaded once for all */
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

/* Add input row i to the output rows [from, to) of a tile. */
FC_INLINE void filter_row(vec acc[FILTER_ROWS][FILTER_VECTORS], const real *x,
                          const struct filter_taps *t, ptrdiff_t i, ptrdiff_t kw, const int from,
                          const int to, const int nv)
{
    for (ptrdiff_t s = 0; s < kw; s++, x += t->step) {
        vec pixels[FILTER_VECTORS];
        FC_UNROLL for (int v = 0; v < nv; v++)
            pixels[v] = v_load(x + v * LANES);
        FC_UNROLL for (int o = from; o < to; o++) {
            const vec w = v_set1(t->weight[(i - o) * kw + s]);
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[o][v] = v_fma(w, pixels[v], acc[o][v]);
        }
    }
}

/* rows output rows of nv vectors at column x: every output sums its taps row by row. */
FC_INLINE void filter_tile(const real *const *row, ptrdiff_t x, const struct filter_taps *t,
                           ptrdiff_t kh, ptrdiff_t kw, real *out, ptrdiff_t pitch, const int rows,
                           const int nv)
{
    vec acc[FILTER_ROWS][FILTER_VECTORS];
    FC_UNROLL for (int o = 0; o < rows; o++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[o][v] = v_set1(0);
    if (rows == 1) {
        for (ptrdiff_t i = 0; i < kh; i++)
            filter_row(acc, row[i] + x, t, i, kw, 0, 1, nv);
    } else {
        /* Only the output rows whose window holds an input row take part in it. */
        FC_UNROLL for (int i = 0; i < FILTER_ROWS - 1; i++)
            filter_row(acc, row[i] + x, t, i, kw, 0, i + 1, nv);
        for (ptrdiff_t i = FILTER_ROWS - 1; i < kh; i++)
            filter_row(acc, row[i] + x, t, i, kw, 0, FILTER_ROWS, nv);
        FC_UNROLL for (int i = 1; i < FILTER_ROWS; i++)
            filter_row(acc, row[kh + i - 1] + x, t, kh + i - 1, kw, i, FILTER_ROWS, nv);
    }
    FC_UNROLL for (int o = 0; o < rows; o++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            v_store(out + o * pitch + v * LANES,
                    v_fma(acc[o][v], v_set1(t->scale), v_set1(t->delta)));
}

static void filter_tile_3x3(const real *const *row, ptrdiff_t x, const struct filter_taps *t,
                            real *out, ptrdiff_t pitch)
{
    filter_tile(row, x, t, 3, 3, out, pitch, FILTER_ROWS, FILTER_VECTORS);
}
static void filter_tile_tall(const real *const *row, ptrdiff_t x, const struct filter_taps *t,
                             real *out, ptrdiff_t pitch)
{
    filter_tile(row, x, t, t->kh, t->kw, out, pitch, FILTER_ROWS, FILTER_VECTORS);
}
static void filter_tile_flat(const real *const *row, ptrdiff_t x, const struct filter_taps *t,
                             real *out, ptrdiff_t pitch)
{
    filter_tile(row, x, t, t->kh, t->kw, out, pitch, 1, FILTER_VECTORS);
}

/* Correlate `rows` output rows (1 or FILTER_ROWS) of `count` numbers; out points at the first. */
static void filter_outputs(const struct fc_filter2d *p, const struct filter_taps *t,
                           const real *const *row, int rows, ptrdiff_t count, char *out, real *line,
                           ptrdiff_t line_pitch)
{
    void (*const tile)(const real *const *, ptrdiff_t, const struct filter_taps *, real *,
                       ptrdiff_t) = rows == 1                    ? filter_tile_flat
                                    : t->kh == 3 && t->kw == 3 ? filter_tile_3x3
                                                               : filter_tile_tall;
    const int same = p->out_dtype == REAL_DTYPE;
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype), pitch = p->ow * p->c;
    const ptrdiff_t direct = same ? count - count % FILTER_TILE : 0;

    for (ptrdiff_t x = 0; x < direct; x += FILTER_TILE)
        tile(row, x, t, (real *)out + x, pitch);
    for (ptrdiff_t x = direct; x < count; x += FILTER_TILE)
        tile(row, x, t, line + x - direct, line_pitch);
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
    return taken(s.slots, sizeof(real *)) + taken((s.slots + 1) * s.pitch, sizeof(real)) +
           taken(FILTER_ROWS * s.line_pitch, sizeof(real));
}

/* One strip. Separable kernels are kh weights down the rows, then kw along them: the ring then holds
 * lines that are correlated along the row already. */
FC_INLINE void filter_unit(const struct fc_filter2d *p, const struct filter_block *b, char *scratch,
                           const int separable)
{
    const ptrdiff_t plane = b->plane, y0 = b->y0, y1 = b->y1, x0 = b->x0, cols = b->cols;
    const struct filter_strip s = filter_strip(p);
    const real **const row = take(&scratch, s.slots, sizeof *row);
    real *const ring = take(&scratch, (s.slots + 1) * s.pitch, sizeof(real));
    real *const line = take(&scratch, FILTER_ROWS * s.line_pitch, sizeof(real));
    real *const fetched_line = ring + s.slots * s.pitch;
    const struct filter_taps along = {(const real *)p->kernel + p->kh, 1, p->kw, p->c, 1, 0};
    struct filter_taps taps = {p->kernel, p->kh, separable ? 1 : p->kw, p->c, (real)p->scale,
                               (real)p->delta};
    ptrdiff_t fetched = 0, step;

    for (ptrdiff_t y = y0; y < y1; y += step) {
        step = p->kh >= 3 && y + FILTER_ROWS <= y1 ? FILTER_ROWS : 1;
        for (; fetched < y - y0 + p->kh - 1 + step; fetched++) {
            real *const slot = ring + fetched % s.slots * s.pitch;
            const real *const source = separable ? fetched_line : slot;
            filter_fetch(p, (real *)source, plane, y0 - p->top + fetched, x0 - p->left,
                         cols + p->kw - 1);
            if (separable)
                for (ptrdiff_t x = 0; x < cols * p->c; x += FILTER_TILE)
                    filter_tile_flat(&source, x, &along, slot + x, 0);
        }
        for (ptrdiff_t i = 0; i < p->kh - 1 + step; i++)
            row[i] = ring + (y - y0 + i) % s.slots * s.pitch;
        for (ptrdiff_t m = 0; m < p->m; m++) {
            const ptrdiff_t at = ((plane * p->m + m) * p->oh + y) * p->ow + x0;
            taps.weight = (const real *)p->kernel + m * p->kh * p->kw;
            filter_outputs(p, &taps, row, (int)step, cols * p->c,
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
