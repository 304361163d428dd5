/* The pixel of any rank in a rectangle, one window after the other. For uint8 from histograms, in a time
 * that does not grow with the window (Perreault and Hebert, 2007): each column keeps the histogram of its
 * kh pixels, the window's is the sum of kw of those, and moves by adding one and taking one away. Other
 * types gather the window and part it (Hoare's selection). */

#if FC_BITS == 8
#define RANK_LEVELS 256
#define RANK_COARSE 16 /* levels whose sum is kept, to find a rank in two short steps */

typedef uint16_t rank_count; /* the plan takes windows of less than 2**16 pixels */

struct rank_histogram {
    rank_count fine[RANK_LEVELS], coarse[RANK_LEVELS / RANK_COARSE];
};

static size_t filter_rank_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken(filter_pitch(p, WINDOW_STEP), sizeof(real)) +
           taken(p->block_cols + p->kw, sizeof(struct rank_histogram));
}

FC_INLINE void rank_move(struct rank_histogram *sum, const struct rank_histogram *in,
                         const struct rank_histogram *out)
{
    for (int i = 0; i < RANK_LEVELS; i++)
        sum->fine[i] = (rank_count)(sum->fine[i] + in->fine[i] - out->fine[i]);
    for (int i = 0; i < RANK_LEVELS / RANK_COARSE; i++)
        sum->coarse[i] = (rank_count)(sum->coarse[i] + in->coarse[i] - out->coarse[i]);
}

FC_INLINE real rank_find(const struct rank_histogram *h, ptrdiff_t rank)
{
    int level = 0;
    while (rank >= h->coarse[level / RANK_COARSE]) {
        rank -= h->coarse[level / RANK_COARSE];
        level += RANK_COARSE;
    }
    while (rank >= h->fine[level])
        rank -= h->fine[level++];
    return (real)level;
}

/* Count, or take away, every c-th of the numbers of a line. */
FC_INLINE void rank_count_line(struct rank_histogram *column, const real *line, ptrdiff_t n,
                               ptrdiff_t c, int by)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const real x = line[i * c];
        column[i].fine[x] = (rank_count)(column[i].fine[x] + by);
        column[i].coarse[x / RANK_COARSE] = (rank_count)(column[i].coarse[x / RANK_COARSE] + by);
    }
}

/* A block's outputs of one channel. */
FC_INLINE void rank_channel(const struct fc_filter2d *p, const struct filter_block *b, ptrdiff_t c,
                            real *line, struct rank_histogram *column)
{
    const ptrdiff_t source = b->cols + p->kw - 1;
    struct rank_histogram *const none = column + source;
    memset(column, 0, (size_t)(source + 1) * sizeof *column);
    for (ptrdiff_t row = b->y0; row < b->y1 + p->kh - 1; row++) {
        const ptrdiff_t y = row - (p->kh - 1);
        struct rank_histogram sum = *none;
        if (y > b->y0) { /* read again what the window leaves */
            filter_fetch(p, line, b, row - p->kh - p->top);
            rank_count_line(column, line + c, source, p->c, -1);
        }
        filter_fetch(p, line, b, row - p->top);
        rank_count_line(column, line + c, source, p->c, 1);
        if (y < b->y0)
            continue;
        real *const out = (real *)p->out + ((b->plane * p->oh + y) * p->ow + b->x0) * p->c + c;
        for (ptrdiff_t i = 0; i < p->kw; i++)
            rank_move(&sum, column + i, none);
        for (ptrdiff_t i = 0;; i++) {
            out[i * p->c] = rank_find(&sum, p->rank);
            if (i + 1 == b->cols)
                break;
            rank_move(&sum, column + i + p->kw, column + i);
        }
    }
}

static void filter_rank(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    char *area = scratch;
    real *const line = take(&area, filter_pitch(p, WINDOW_STEP), sizeof(real));
    struct rank_histogram *const column = take(&area, p->block_cols + p->kw, sizeof *column);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = filter_block(p, unit);
        for (ptrdiff_t c = 0; c < p->c; c++)
            rank_channel(p, &b, c, line, column);
    }
}

#else

static size_t filter_rank_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken((p->kh + 1) * filter_pitch(p, WINDOW_STEP), sizeof(real)) +
           taken(p->kh * p->kw, sizeof(real));
}

/* The element of a rank, counted from the smallest; the elements change places. */
static real rank_select(real *x, ptrdiff_t n, ptrdiff_t rank)
{
    ptrdiff_t low = 0, high = n - 1;
    while (low < high) {
        const real middle = x[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (x[i] < middle)
                i++;
            while (x[j] > middle)
                j--;
            if (i <= j) {
                const real held = x[i];
                x[i++] = x[j];
                x[j--] = held;
            }
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return x[rank];
}

static void filter_rank(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, WINDOW_STEP);
    char *area = scratch;
    real *const ring = take(&area, (p->kh + 1) * pitch, sizeof(real));
    real *const window = take(&area, p->kh * p->kw, sizeof(real)), *const out = ring + p->kh * pitch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = filter_block(p, unit);
        for (ptrdiff_t row = b.y0; row < b.y1 + p->kh - 1; row++) {
            const ptrdiff_t y = row - (p->kh - 1);
            filter_fetch(p, ring + row % p->kh * pitch, &b, row - p->top);
            for (ptrdiff_t i = 0; y >= b.y0 && i < b.cols * p->c; i++) {
                int wild = 0;
                for (ptrdiff_t j = 0; j < p->kh * p->kw; j++) {
                    window[j] = ring[j / p->kw * pitch + i + j % p->kw * p->c];
                    wild |= isnan(window[j]);
                }
                out[i] = wild ? (real)NAN : rank_select(window, p->kh * p->kw, p->rank);
            }
            if (y >= b.y0)
                store_from_real((char *)p->out + ((b.plane * p->oh + y) * p->ow + b.x0) * p->c *
                                                     (ptrdiff_t)dtype_size(p->out_dtype),
                                out, p->out_dtype, b.cols * p->c);
        }
    }
}
#endif
