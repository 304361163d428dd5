/* What the correlations share: the source rows of a strip (filter_lines.h), where they are or in a
 * ring of lines, are correlated with the kernel by register tiles.
 *
 * With a stride, rows that no output sees are skipped, and a source line is cut into its phases as
 * it comes: pixels 0, stride, 2 * stride, ..., then 1, stride + 1, ... Tap s of neighbouring
 * outputs then reads neighbours, those of phase s % stride from s / stride on. */

/* Output rows of a tile and its vectors: each input vector is loaded once for all rows. A kernel has at
 * least one row less. Of 16 registers 12 hold sums either way; the first and last source rows of a tile,
 * which few of its outputs see, then have too few sums under way in 6 rows by 2. */
#define FILTER_ROWS_LOW 4
#if VEC_REGS == 32
#define FILTER_ROWS 6
#define FILTER_VECTORS 4
#else
#define FILTER_ROWS FILTER_ROWS_LOW
#define FILTER_VECTORS 3
#endif
#define FILTER_TILE (FILTER_VECTORS * LANES)
/* Vectors of tiles of one output row, and of those that end it. */
#define FILTER_FLAT 4
#define FILTER_REST (FILTER_VECTORS == FILTER_FLAT ? FILTER_FLAT : 1)
#define FILTER_PART (8 * FILTER_TILE) /* of a row, on its way out through the L1 cache */
#define FILTER_PIECE 2048 /* numbers of a source line that are cut into phases at once */
#define FILTER_COPY 4     /* channels of a pixel that are copied at once */

/* A kernel and the last multiply-add: result = sum * scale + delta. */
struct filter_taps {
    const real *weight; /* (kh, kw) */
    ptrdiff_t kh, kw, step; /* step: elements between taps of a row, or of a phase of it */
    ptrdiff_t phases, phase; /* phase: elements from one to the next */
    real scale, delta;
    int stream; /* are results written past the caches? */
    ptrdiff_t ahead; /* elements from a row to the one that is fetched for later, or 0 */
};

/* Fetch what the tiles below one see, as they go: many lines at once would be waited for. */
FC_INLINE void filter_rows_ahead(const real *const *row, ptrdiff_t x, const struct filter_taps *t,
                                 const int rows, const int nv)
{
    for (int i = 0; t->ahead && i < rows; i++)
        FC_UNROLL for (int v = 0; v < nv; v++)
            FC_PREFETCH(row[i] + x + t->ahead + v * LANES);
}

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

/* Add a row of kw taps to nv vectors of one output row. */
FC_INLINE void filter_taps_flat(vec acc[FILTER_FLAT], const real *x, const real *weight, ptrdiff_t kw,
                                ptrdiff_t step, const int nv)
{
    ptrdiff_t s = 0;
#if V_PART
    /* Loads that cross a cache line are what bounds this: every other tap's pixels are taken from
     * registers, but for the last vector. Groups of taps begin where their pixels are held. */
    const int last = nv - 1;
    while (2 * step < LANES && s < kw) {
        vec held[FILTER_FLAT];
        ptrdiff_t shift = step;
        vec w = v_set1(weight[s++]);
        FC_UNROLL for (int v = 0; v <= last; v++) {
            held[v] = v_load(x + v * LANES);
            FC_KEEP(held[v]);
            acc[v] = v_fma(w, held[v], acc[v]);
        }
        for (; shift + step <= LANES && s + 1 < kw; shift += step) {
            w = v_set1(weight[s++]);
            FC_UNROLL for (int v = 0; v <= last; v++)
                acc[v] = v_fma(w, v_load(x + shift + v * LANES), acc[v]);
            shift += step;
            const v_places places = v_places_from((int)shift);
            w = v_set1(weight[s++]);
            FC_UNROLL for (int v = 0; v < last; v++)
                acc[v] = v_fma(w, v_part(held[v], held[v + 1], places), acc[v]);
            acc[last] = v_fma(w, v_load(x + shift + last * LANES), acc[last]);
        }
        x += shift;
    }
#endif
#if V_LATER
    /* The same where that takes a shift that is known when compiled. */
    while (step == 1 && s + 2 < kw) {
        vec held[FILTER_FLAT + 1];
        vec w = v_set1(weight[s]);
        FC_UNROLL for (int v = 0; v <= nv; v++) {
            held[v] = v_load(x + v * LANES);
            FC_KEEP(held[v]);
        }
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[v] = v_fma(w, held[v], acc[v]);
        FC_UNROLL for (int shift = 1; shift < LANES; shift++) {
            if (s + shift == kw)
                return;
            w = v_set1(weight[s + shift]);
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[v] = v_fma(w, filter_later(x, held, shift, v), acc[v]);
        }
        s += LANES;
        x += LANES;
    }
#endif
    for (; s < kw; s++, x += step) {
        const vec w = v_set1(weight[s]);
        FC_UNROLL for (int v = 0; v < nv; v++)
            acc[v] = v_fma(w, v_load(x + v * LANES), acc[v]);
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

/* The same for a tile of one output row, of a line in phases. */
FC_INLINE void filter_row_phases(vec acc[FILTER_ROWS][FILTER_VECTORS], const real *x,
                                 const struct filter_taps *t, ptrdiff_t i, ptrdiff_t kw,
                                 const int nv)
{
    const real *const weight = t->weight + i * kw;
    for (ptrdiff_t s = 0; s < kw; x += t->step)
        for (ptrdiff_t f = 0; f < t->phases && s < kw; f++, s++)
            filter_tap(acc, x + f * t->phase, weight + s, kw, 0, 1, nv);
}

/* A tile of nv vectors of one output row, at column x. */
FC_INLINE void filter_tile_flat(const real *const *row, ptrdiff_t x, const struct filter_taps *t, real *out,
                                const int nv)
{
    vec acc[FILTER_FLAT];
    FC_UNROLL for (int v = 0; v < nv; v++)
        acc[v] = v_set1(0);
    filter_rows_ahead(row + t->kh - 1, x, t, 1, nv);
    for (ptrdiff_t i = 0; i < t->kh; i++)
        filter_taps_flat(acc, row[i] + x, t->weight + i * t->kw, t->kw, t->step, nv);
    FC_UNROLL for (int v = 0; v < nv; v++)
        v_store(out + x + v * LANES, v_fma(acc[v], v_set1(t->scale), v_set1(t->delta)));
}

/* Tiles of `rows` output rows of FILTER_VECTORS vectors, at columns [x, end); every output sums its
 * taps row by row. */
FC_INLINE void filter_tiles(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                            const struct filter_taps *taps, ptrdiff_t kh, ptrdiff_t kw, real *out,
                            ptrdiff_t pitch, const int unrolled, const int rows, const int phases)
{
    const struct filter_taps local = *taps, *const t = &local; /* which no store can change */
    const int nv = FILTER_VECTORS;
    for (; x < end; x += FILTER_TILE) {
        vec acc[FILTER_ROWS][FILTER_VECTORS];
        FC_UNROLL for (int o = 0; o < rows; o++)
            FC_UNROLL for (int v = 0; v < nv; v++)
                acc[o][v] = v_set1(0);
        if (phases) {
            for (ptrdiff_t i = 0; i < kh; i++)
                filter_row_phases(acc, row[i] + x, t, i, kw, nv);
        } else {
            filter_rows_ahead(row + kh - 1, x, t, rows, nv);
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
                filter_put(out + o * pitch + x + v * LANES,
                           v_fma(acc[o][v], v_set1(t->scale), v_set1(t->delta)),
                           !phases && t->stream);
    }
}

typedef void filter_tiles_function(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                                   const struct filter_taps *t, real *out, ptrdiff_t pitch);

static void filter_tiles_3x3(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                             const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, 3, 3, out, pitch, 3, FILTER_ROWS_LOW, 0);
}
static void filter_tiles_low(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                             const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, FILTER_ROWS_LOW, 0);
}
static void filter_tiles_tall(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                              const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, FILTER_ROWS, 0);
}
static void filter_tiles_flat(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                              const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    const struct filter_taps local = *t; /* which no store can change */
    (void)pitch;
    for (; x + FILTER_FLAT * LANES <= end; x += FILTER_FLAT * LANES)
        filter_tile_flat(row, x, &local, out, FILTER_FLAT);
    for (; x < end; x += FILTER_REST * LANES)
        filter_tile_flat(row, x, &local, out, FILTER_REST);
}
static void filter_tiles_phases(const real *const *row, ptrdiff_t x, ptrdiff_t end,
                                const struct filter_taps *t, real *out, ptrdiff_t pitch)
{
    filter_tiles(row, x, end, t, t->kh, t->kw, out, pitch, 0, 1, 1);
}

/* How many output rows the tiles of a kernel have, of those that are left. */
FC_INLINE int filter_tile_rows(const struct fc_filter2d *p, const struct filter_taps *t,
                               ptrdiff_t left)
{
    const ptrdiff_t kh = t->kh;
    if (p->stride_h > 1 || t->phases > 1)
        return 1;
    if (kh >= FILTER_ROWS - 1 && left >= FILTER_ROWS)
        return FILTER_ROWS;
    return kh >= FILTER_ROWS_LOW - 1 && left >= FILTER_ROWS_LOW ? FILTER_ROWS_LOW : 1;
}

FC_INLINE filter_tiles_function *filter_tiles_of(const struct filter_taps *t, int rows)
{
    /* First where both have as many rows: with 16 registers 3x3 is no faster unrolled, which needs more. */
    if (rows == FILTER_ROWS)
        return filter_tiles_tall;
    if (rows == FILTER_ROWS_LOW)
        return t->kh == 3 && t->kw == 3 ? filter_tiles_3x3 : filter_tiles_low;
    return t->phases > 1 ? filter_tiles_phases : filter_tiles_flat;
}

/* The lines of a step: those of tiles that are inside, and those of the others. */
struct filter_lines {
    const real **inside, **around;
    struct filter_inside in;
};

/* Whole tiles of the columns [x, end). */
FC_INLINE void filter_columns(filter_tiles_function *tiles, const struct filter_lines *from,
                              ptrdiff_t x, ptrdiff_t end, const struct filter_taps *t, real *out,
                              ptrdiff_t pitch)
{
    const struct filter_inside in = from->in;
    tiles(from->around, x, FC_MIN(in.first, end), t, out, pitch);
    tiles(from->inside, FC_MAX(in.first, x), FC_MIN(in.end, end), t, out, pitch);
    tiles(from->around, FC_MAX(in.end, x), end, t, out, pitch);
}

/* How many numbers of a row, from x on, are made at once, and whether straight in the results: in
 * whole tiles, from `head` on. Others go through a line, a part at a time. */
FC_INLINE ptrdiff_t filter_part(const struct fc_filter2d *p, ptrdiff_t x, ptrdiff_t head,
                                ptrdiff_t count, int *direct)
{
    const ptrdiff_t whole = (count - x) / FILTER_TILE * FILTER_TILE;
    *direct = p->out_dtype == REAL_DTYPE && x == head && whole > 0;
    return *direct ? whole : FC_MIN((x < head ? FC_MIN(head, count) : count) - x, FILTER_PART);
}

/* Correlate `rows` output rows (of filter_tile_rows) of `count` numbers; out points at the first. */
static void filter_outputs(const struct fc_filter2d *p, const struct filter_taps *t,
                           const struct filter_lines *from, int rows, ptrdiff_t head,
                           ptrdiff_t count, char *out, real *line, ptrdiff_t line_pitch)
{
    filter_tiles_function *const tiles = filter_tiles_of(t, rows);
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype), pitch = p->ow * p->c;
    struct filter_taps by_line = *t;
    int direct;
    by_line.stream = 0;
    for (ptrdiff_t x = 0, n; x < count; x += n) {
        n = filter_part(p, x, head, count, &direct);
        if (direct) {
            filter_columns(tiles, from, x, x + n, t, (real *)(void *)out, pitch);
            continue;
        }
        filter_columns(tiles, from, x, x + n, &by_line, line - x, line_pitch);
        for (int o = 0; o < rows; o++)
            store_from_real(out + (o * pitch + x) * size, line + o * line_pitch, p->out_dtype, n);
    }
}

struct filter_strip {
    ptrdiff_t slots, pitch, ring_pitch, line_pitch; /* lines in the ring; numbers in a line, of it */
    ptrdiff_t phases, phase, piece; /* of a line; numbers in each; and in a piece of it, or 0: such
                                       lines are not cut */
};

/* Pixels of a phase that some outputs of a row see. */
FC_INLINE ptrdiff_t filter_phase(const struct fc_filter2d *p, ptrdiff_t cols)
{
    return cols + (p->kw - 1) / p->stride_w;
}

/* Numbers from a row of outputs to the next, on their way. */
FC_INLINE ptrdiff_t filter_row_pitch(const struct fc_filter2d *p)
{
    return odd_lines(p->block_cols * p->c + FILTER_TILE);
}

FC_NOINLINE struct filter_strip filter_strip(const struct fc_filter2d *p, const int separable)
{
    /* The last tile of a line reads, or writes, up to FILTER_TILE numbers past its end. */
    struct filter_strip s = {.phases = 1, .phase = (p->block_cols + p->kw - 1) * p->c};
    s.slots = p->kernel_rows + (p->kernel_rows < FILTER_ROWS_LOW - 1 ? 0 : FILTER_ROWS - 1);
    if (p->stride_w > 1) {
        s.phases = FC_MIN(p->stride_w, p->kw); /* taps do not reach others */
        s.phase = round_up(filter_phase(p, p->block_cols) * p->c + FILTER_COPY, LANES);
        s.piece = FC_MAX(FILTER_PIECE, s.phases * p->c) + FILTER_COPY;
    }
    s.pitch = odd_lines(s.phases * s.phase + FILTER_TILE + FILTER_PAST);
    s.ring_pitch = separable ? filter_row_pitch(p) : s.pitch;
    s.line_pitch = odd_lines(FILTER_PART + FILTER_TILE);
    return s;
}

/* Numbers of the ring; of separable kernels a source line comes after it. */
FC_INLINE ptrdiff_t filter_ring(struct filter_strip s, const int separable)
{
    return s.slots * s.ring_pitch + (separable ? s.pitch : 0);
}

FC_SMALL size_t filter_scratch(const void *params, const int separable)
{
    const struct fc_filter2d *const p = params;
    const struct filter_strip s = filter_strip(p, separable);
    const ptrdiff_t sums = p->kernel_rows < p->kh ? 2 * FILTER_ROWS * filter_row_pitch(p) : 0;
    return 3 * taken(s.slots, sizeof(real *)) + taken(filter_ring(s, separable), sizeof(real)) +
           taken(FILTER_ROWS * s.line_pitch, sizeof(real)) + taken(s.piece, sizeof(real)) +
           taken(sums, sizeof(real));
}

/* n pixels of one phase, and up to FILTER_COPY - 1 numbers more. */
FC_INLINE void filter_split(real *dst, const real *src, ptrdiff_t n, ptrdiff_t step, ptrdiff_t c)
{
    if (c > 1)
        for (ptrdiff_t i = 0; i < n; i++)
            for (ptrdiff_t j = 0; j < c; j += FILTER_COPY)
                memcpy(dst + i * c + j, src + i * step * c + j, FILTER_COPY * sizeof(real));
    else if (step == 2)
        split_phase(dst, src, n, 2);
    else if (step == 3)
        split_phase(dst, src, n, 3);
    else if (step == 4)
        split_phase(dst, src, n, 4);
    else
        split_phase(dst, src, n, step);
}

/* Source line y of a block in its phases, into dst. It comes in pieces: those of a long stride see
 * little of it, and the others stay in the L1 cache. */
static void filter_fetch_phases(const struct fc_filter2d *p, struct filter_strip s, real *dst,
                                const struct filter_block *b, ptrdiff_t y, real *piece)
{
    const ptrdiff_t step = p->stride_w, c = p->c, count = filter_phase(p, b->cols);
    const ptrdiff_t at = border_index(y, p->h, p->border_h);
    const ptrdiff_t pixels = FC_MAX(FILTER_PIECE / (step * c), 1);

    if (at < 0) {
        filter_outside(p, dst, s.phases * s.phase);
        return;
    }
    const char *const row = filter_source(p, b->plane, at);
    if (p->kh >= p->stride_h)
        filter_ahead(p, row, FC_MAX(b->x0 * step - p->left, 0),
                     FC_MIN((b->x0 + count) * step - p->left, p->w), FILTER_AHEAD);
    for (ptrdiff_t q = 0, n; q < count; q += n) {
        n = FC_MIN(pixels, count - q);
        const ptrdiff_t first = (b->x0 + q) * step - p->left, seen = (n - 1) * step + s.phases;
        const real *from = (const real *)(const void *)row + first * c;
        if (p->dtype != REAL_DTYPE || first < 0 || first + seen + FILTER_COPY > p->w) {
            const struct filter_block part = {.x0 = first + p->left, .cols = seen - (p->kw - 1)};
            const struct filter_ends ends = fc_filter_ends(p, &part, FILTER_NOWHERE);
            filter_copy(p, piece, &ends, row, 0, seen, 0);
            from = piece;
        }
        for (ptrdiff_t f = 0; f < s.phases; f++)
            filter_split(dst + f * s.phase + q * c, from + f * c, n, step, c);
    }
}

/* The source rows of a strip, as they come. */
struct filter_strip_rows {
    struct filter_strip s;
    struct filter_ends ends;
    const real **around, **inside, **found; /* found, by slot: the line inside */
    real *ring, *line, *piece;
    ptrdiff_t fetched;
};

FC_NOINLINE struct filter_strip_rows filter_strip_rows(const struct fc_filter2d *p,
                                                       const struct filter_block *b,
                                                       ptrdiff_t head, char *scratch,
                                                       int separable)
{
    struct filter_strip_rows r = {.s = filter_strip(p, separable)};
    const struct filter_strip s = r.s;
    const int all_in_ring = s.piece || p->kernel_rows < p->kh;
    r.ends = fc_filter_ends(
        p, b,
        all_in_ring ? FILTER_NOWHERE : filter_inside(p, b, FILTER_TILE, separable ? 0 : head));
    r.around = take(&scratch, s.slots, sizeof *r.around);
    r.inside = take(&scratch, s.slots, sizeof *r.inside);
    r.found = take(&scratch, s.slots, sizeof *r.found);
    r.ring = take(&scratch, filter_ring(s, separable), sizeof(real));
    r.line = take(&scratch, FILTER_ROWS * s.line_pitch, sizeof(real));
    r.piece = take(&scratch, s.piece, sizeof(real));
    return r;
}

/* Rows of the image from a line to the one that is fetched for later by tiles of `step` rows. */
FC_INLINE ptrdiff_t filter_strip_ahead(int step) { return step > 1 ? step : FILTER_AHEAD; }

/* The same in numbers, or 0 where tiles read lines of the ring. */
FC_INLINE ptrdiff_t filter_tiles_ahead(const struct fc_filter2d *p, const struct filter_strip_rows *r,
                                       int step)
{
    return r->ends.in.end ? filter_strip_ahead(step) * p->w * p->c : 0;
}

/* The lines that `step` output rows from y on see. Of separable kernels, kh weights down the rows,
 * then kw along them, the ring holds lines that are correlated along the row already. */
FC_NOINLINE struct filter_lines filter_strip_seen(const struct fc_filter2d *p,
                                                  const struct filter_block *b,
                                                  struct filter_strip_rows *r, ptrdiff_t y, int step,
                                                  int separable)
{
    const struct filter_strip s = r->s;
    const ptrdiff_t first = (y - b->y0) * p->stride_h;
    const struct filter_taps along = {
        .weight = (const real *)p->kernel + p->kh, .kh = 1, .kw = p->kw, .step = p->c,
        .phases = s.phases, .phase = s.phase, .scale = 1, .ahead = filter_tiles_ahead(p, r, 1)};
    for (r->fetched = FC_MAX(r->fetched, first); r->fetched < first + p->kh - 1 + step; r->fetched++) {
        real *const slot = r->ring + r->fetched % s.slots * s.ring_pitch;
        real *const source = separable ? r->ring + s.slots * s.ring_pitch : slot;
        const ptrdiff_t at = b->y0 * p->stride_h - p->top + r->fetched;
        const real *image = source;
        if (s.piece)
            filter_fetch_phases(p, s, source, b, at, r->piece);
        else
            image = filter_fetch_around(p, source, &r->ends, at, filter_strip_ahead(separable ? 1 : step));
        r->found[r->fetched % s.slots] = image;
        if (separable) {
            const real *source_line = source;
            const struct filter_lines lines = {&image, &source_line, r->ends.in};
            if (s.phases > 1)
                filter_tiles_phases(&source_line, 0, b->cols * p->c, &along, slot, 0);
            else
                filter_columns(filter_tiles_flat, &lines, 0, b->cols * p->c, &along, slot, 0);
        }
    }
    for (ptrdiff_t i = 0; i < p->kh - 1 + step; i++) {
        r->around[i] = r->ring + (first + i) % s.slots * s.ring_pitch;
        r->inside[i] = r->found[(first + i) % s.slots];
    }
    return (struct filter_lines){r->inside, r->around, separable ? FILTER_NOWHERE : r->ends.in};
}

/* One strip. */
FC_INLINE void filter_unit(const struct fc_filter2d *p, const struct filter_block *b, char *scratch,
                           const int separable)
{
    const ptrdiff_t head = filter_head(p, b, p->out);
    struct filter_strip_rows rows = filter_strip_rows(p, b, head, scratch, separable);
    const struct filter_strip s = rows.s;
    struct filter_taps taps = {
        p->kernel, p->kh, separable ? 1 : p->kw, p->c, separable ? 1 : s.phases, s.phase,
        (real)p->scale, (real)p->delta, filter_streams(p), 0};
    int step;
    for (ptrdiff_t y = b->y0; y < b->y1; y += step) {
        step = filter_tile_rows(p, &taps, b->y1 - y);
        taps.ahead = separable ? 0 : filter_tiles_ahead(p, &rows, step);
        const struct filter_lines from = filter_strip_seen(p, b, &rows, y, step, separable);
        for (ptrdiff_t m = 0; m < p->m; m++) {
            const ptrdiff_t at = ((b->plane * p->m + m) * p->oh + y) * p->ow + b->x0;
            taps.weight = (const real *)p->kernel + m * p->kh * p->kw;
            filter_outputs(p, &taps, &from, step, head, b->cols * p->c,
                           (char *)p->out + at * p->c * (ptrdiff_t)dtype_size(p->out_dtype),
                           rows.line, s.line_pitch);
        }
    }
}

/* One strip of a kernel whose rows see more lines than scratch memory holds: the sums of some of its rows
 * at a time, for a few rows of outputs, are added up. */
FC_SMALL void filter_unit_by_parts(const struct fc_filter2d *p, const struct filter_block *b,
                                   char *scratch)
{
    const ptrdiff_t parts = ceil_div(p->kh, p->kernel_rows), pitch = filter_row_pitch(p);
    real *const sums = take(&scratch, 2 * FILTER_ROWS * pitch, sizeof(real));
    real *const more = sums + FILTER_ROWS * pitch;
    struct filter_strip_rows source = filter_strip_rows(p, b, 0, scratch, 0);
    const int tall = source.s.phases == 1 && p->kh / parts >= FILTER_ROWS - 1;
    const ptrdiff_t most = p->stride_h == 1 ? source.s.slots - p->kernel_rows + 1 : 1;
    struct fc_filter2d part = *p;
    int rows;
    for (ptrdiff_t y = b->y0; y < b->y1; y += rows) {
        rows = (int)FC_MIN(most, b->y1 - y);
        const int step = tall && rows == FILTER_ROWS ? rows : 1;
        for (ptrdiff_t m = 0; m < p->m; m++) {
            for (ptrdiff_t i = 0, first = 0; i < parts; i++, first += part.kh) {
                part.kh = p->kh * (i + 1) / parts - first;
                part.top = p->top - first;
                source.fetched = 0;
                const struct filter_lines from = filter_strip_seen(&part, b, &source, y, rows, 0);
                const struct filter_taps t = {
                    (const real *)p->kernel + (m * p->kh + first) * p->kw, part.kh, p->kw, p->c,
                    source.s.phases, source.s.phase, 1, 0, 0, 0};
                for (int o = 0; o < rows; o += step)
                    filter_tiles_of(&t, step)(from.around + o, 0, b->cols * p->c, &t,
                                              (i ? more : sums) + o * pitch, pitch);
                for (ptrdiff_t x = 0; i && x < rows * pitch; x += LANES)
                    v_store(sums + x, v_add(v_load(sums + x), v_load(more + x)));
            }
            for (int o = 0; o < rows; o++) {
                const ptrdiff_t at = ((b->plane * p->m + m) * p->oh + y + o) * p->ow + b->x0;
                real *const line = sums + o * pitch;
                for (ptrdiff_t x = 0; x < b->cols * p->c; x += LANES)
                    v_store(line + x, v_fma(v_load(line + x), v_set1((real)p->scale),
                                            v_set1((real)p->delta)));
                store_from_real((char *)p->out + at * p->c * (ptrdiff_t)dtype_size(p->out_dtype), line,
                                p->out_dtype, b->cols * p->c);
            }
        }
    }
}

FC_INLINE void filter_run(const struct fc_filter2d *p, ptrdiff_t begin, ptrdiff_t end, void *scratch,
                          const int separable)
{
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        if (!separable && p->kernel_rows < p->kh)
            filter_unit_by_parts(p, &b, scratch);
        else
            filter_unit(p, &b, scratch, separable);
    }
    v_stream_end();
}
