/* The input of Winograd's convolution (conv_winograd.h): patches, transformed into planes of points. */

/* Transform the patches of a vector of tiles or of channels, n of them: at + i of each input in
 * `from`; dst is their place in plane 0. */
FC_INLINE void winograd_input_vector(const struct winograd_block *b, const real *const *from,
                                     ptrdiff_t at, ptrdiff_t n, real *dst, const int m)
{
    const int side = m + 2, whole = n >= LANES;
    real half[WINOGRAD_POINTS * LANES];
    vec d[WINOGRAD_SIDE];
    for (int j = 0; j < side; j++) {
        FC_UNROLL for (int i = 0; i < side; i++)
            d[i] = whole ? v_load(from[i * side + j] + at) : v_load_n(from[i * side + j] + at, n);
        winograd_input_side(d, m);
        FC_UNROLL for (int i = 0; i < side; i++)
            v_store(half + (i * side + j) * LANES, d[i]);
    }
    for (int i = 0; i < side; i++, dst += side * b->input) {
        FC_UNROLL for (int j = 0; j < side; j++)
            d[j] = v_load(half + (i * side + j) * LANES);
        winograd_input_side(d, m);
        if (whole)
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store(dst + j * b->input, d[j]);
        else
            FC_UNROLL for (int j = 0; j < side; j++)
                v_store_n(dst + j * b->input, d[j], n);
    }
}

/* Split one row under the tiles of a run into the columns of its patches: column j of tile t is
 * row[m t + j]. The last two columns are the first two of the next tile, one place further, so those
 * of the last tile are left to winograd_split_end(), and those of the tile before the first are
 * overwritten. */
FC_INLINE void winograd_split(const struct winograd_block *b, const real *row, real *patches,
                              const int m)
{
    for (ptrdiff_t t = 0; t < b->cols; t += LANES, row += m * LANES) {
        real *const to = patches + t;
        vec column[4];
        if (m == 4) {
            const vec v0 = v_load(row), v1 = v_load(row + LANES);
            const vec v2 = v_load(row + 2 * LANES), v3 = v_load(row + 3 * LANES);
            const vec even_0 = v_even(v0, v1), even_1 = v_even(v2, v3);
            const vec odd_0 = v_odd(v0, v1), odd_1 = v_odd(v2, v3);
            column[0] = v_even(even_0, even_1);
            column[1] = v_even(odd_0, odd_1);
            column[2] = v_odd(even_0, even_1);
            column[3] = v_odd(odd_0, odd_1);
        } else {
            column[0] = v_even(v_load(row), v_load(row + LANES));
            column[1] = v_odd(v_load(row), v_load(row + LANES));
        }
        FC_UNROLL for (int j = 0; j < m; j++)
            v_store(to + j * b->patches, column[j]);
        v_store(to + m * b->patches - 1, column[0]);
        v_store(to + (m + 1) * b->patches - 1, column[1]);
    }
}
FC_INLINE void winograd_split_end(const struct winograd_block *b, const real *row, real *patches,
                                  const int m)
{
    patches[m * b->patches + b->cols - 1] = row[m * b->cols];
    patches[(m + 1) * b->patches + b->cols - 1] = row[m * b->cols + 1];
}

/* NCHW: transform the tiles of a run, one channel after the other; dst is its first tile. */
FC_INLINE void winograd_input_nchw(const struct winograd_unit *u, const struct winograd_run *run,
                                   const struct winograd_scratch *s, real *dst, const int m)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const int side = m + 2;
    const ptrdiff_t rows = m * run->rows + 2, width = m * b->cols + 2;
    real *const patches = s->patches + LANES;
    const real *x = u->x + run->n * u->from.sample;

    for (int i = 0; i < side * side; i++)
        s->from[i] = patches + (i / side % m * side + i % side) * b->patches + i / side / m * b->cols;
    for (ptrdiff_t c = 0; c < p->c; c++, x += p->h * p->w, dst += b->channel) {
        /* All rows first: a load that straddles two stores waits until both have left the store
         * buffer. */
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t y = border_index(run->y - p->top + r, p->h, p->border_h);
            real *const line = s->lines + r * b->line;
            if (y < 0) {
                memset(line, 0, (size_t)width * sizeof(real));
                continue;
            }
            /* The next channel's rows: in many short pieces the processor sees no stream. */
            const real *const next = x + (p->h + y) * p->w + FC_MAX(u->x0 - p->left, 0);
            for (ptrdiff_t i = 0; b->cols > 8 && i < width; i += 64 / (ptrdiff_t)sizeof(real))
                FC_PREFETCH(next + i);
            nchw_fill_row(line, x + y * p->w, p->w, u->x0 - p->left, width, p->border_w);
        }
        for (ptrdiff_t r = 0; r < rows; r++)
            winograd_split(b, s->lines + r * b->line,
                           patches + r % m * side * b->patches + r / m * b->cols, m);
        for (ptrdiff_t r = 0; r < rows; r++)
            winograd_split_end(b, s->lines + r * b->line,
                               patches + r % m * side * b->patches + r / m * b->cols, m);
        for (ptrdiff_t t = 0; t < run->rows * b->cols; t += LANES)
            winograd_input_vector(b, s->from, t, run->rows * b->cols - t, dst + t, m);
    }
}

/* NHWC: one tile after the other. */
FC_INLINE void winograd_input_nhwc(const struct winograd_unit *u, const struct winograd_run *run,
                                   const struct winograd_scratch *s, real *dst, const int m)
{
    const struct fc_conv2d *const p = u->p;
    const struct winograd_block *const b = &u->block;
    const int side = m + 2;
    const real *const x = u->x + run->n * u->from.sample;

    for (ptrdiff_t tile = 0; tile < run->rows * b->cols; tile++, dst += b->tile) {
        const ptrdiff_t y0 = run->y - p->top + tile / b->cols * m;
        const ptrdiff_t x0 = u->x0 - p->left + tile % b->cols * m;
        for (int i = 0; i < side; i++)
            for (int j = 0; j < side; j++) {
                const ptrdiff_t y = border_index(y0 + i, p->h, p->border_h);
                const ptrdiff_t at = border_index(x0 + j, p->w, p->border_w);
                s->from[i * side + j] =
                    y < 0 || at < 0 ? s->outside : x + y * u->from.row + at * u->from.pixel;
            }
        for (ptrdiff_t c = 0; c < p->c; c += LANES)
            winograd_input_vector(b, s->from, c, p->c - c, dst + c, m);
    }
}
