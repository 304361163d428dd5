/* The pixel of any rank in a rectangle, from histograms (filter_histogram.h): in a time that hardly
 * grows with the rectangle. */

#if FC_BITS == 8

FC_SMALL size_t filter_rank_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken(filter_pitch(p, WINDOW_STEP), sizeof(real)) + levels_scratch(p->block_cols + p->kw - 1);
}

/* Count, or take away, every c-th of the numbers of a line. */
FC_INLINE void rank_count_line(struct levels *h, const real *line, ptrdiff_t c, int by)
{
    for (ptrdiff_t i = 0; i < h->columns; i++)
        levels_count(h, i, line[i * c], by);
}

/* A block's outputs of one channel. */
FC_INLINE void rank_channel(const struct fc_filter2d *p, const struct filter_block *b, ptrdiff_t c,
                            real *line, void *histograms)
{
    const ptrdiff_t source = b->cols + p->kw - 1;
    const struct filter_ends whole = fc_filter_ends(p, b, FILTER_NOWHERE);
    struct levels h;
    levels_clear(&h, histograms, source, p->kw);
    for (ptrdiff_t row = b->y0; row < b->y1 + p->kh - 1; row++) {
        const ptrdiff_t y = row - (p->kh - 1);
        if (y > b->y0) { /* read again what the window leaves */
            filter_fetch(p, line, &whole, row - p->kh - p->top);
            rank_count_line(&h, line + c, p->c, -1);
        }
        filter_fetch(p, line, &whole, row - p->top);
        rank_count_line(&h, line + c, p->c, 1);
        if (y < b->y0)
            continue;
        real *const out = (real *)p->out + ((b->plane * p->oh + y) * p->ow + b->x0) * p->c + c;
        levels_first(&h);
        for (ptrdiff_t i = 0;;) {
            ptrdiff_t rank = p->rank;
            out[i * p->c] = (real)levels_find(&h, i, &rank);
            if (++i == b->cols)
                break;
            levels_next(&h, i);
        }
    }
}

static void filter_rank(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    char *area = scratch;
    real *const line = take(&area, filter_pitch(p, WINDOW_STEP), sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        for (ptrdiff_t c = 0; c < p->c; c++)
            rank_channel(p, &b, c, line, area);
    }
}

#else

/* Other types are ranked first. A block's source pixels of one channel are sorted, and 2**shift
 * neighbours in that order share a level. The histogram tells the level of the pixel that is looked
 * for. Each pixel notes its column while its row is in the window, so comparing the columns of that
 * level's pixels tells which of them are in the window; they stand in order. The result is always one
 * of the pixels, and the time hardly depends on what they are. */

#define RANK_SHIFT 6  /* of a level's pixels, so many (as a power of two) are looked at together */
#define RANK_DIGIT 11 /* bits that one pass of the sort orders by: 8 KB of counts */
#define RANK_DIGITS ((FC_BITS + RANK_DIGIT - 1) / RANK_DIGIT)

#if FC_BITS == 32
typedef uint32_t rank_key;
#else
typedef uint64_t rank_key;
#endif
typedef uint32_t rank_digits[1 << RANK_DIGIT];

/* Columns lie along the shorter side of the window, so that few keep histograms: turned, they are
 * the image's rows. */
struct rank_tile {
    ptrdiff_t rows, columns; /* of source pixels */
    ptrdiff_t down, along;   /* from a pixel to that of the next row, of the next column */
    ptrdiff_t height, width; /* of the window */
    int turned;
    int shift;
    ptrdiff_t numbers; /* pixels that are not NaN */
    real *pixel;
    uint32_t *order;  /* the pixels, from the smallest to the largest */
    uint32_t *place;  /* of each pixel in that order */
    uint16_t *column; /* of each place's pixel; UINT16_MAX if its row is not in the window */
    rank_digits *digits;
    real *line; /* of results */
    void *histograms;
};

FC_INLINE int rank_turned(const struct fc_filter2d *p) { return p->kw > p->kh; }

FC_SMALL size_t filter_rank_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t height = p->block_rows + p->kh - 1, width = p->block_cols + p->kw - 1;
    const ptrdiff_t n = height * width;
    return taken(n, sizeof(real)) + 2 * taken(n, sizeof(uint32_t)) +
           taken(round_up(n, 1 << RANK_SHIFT), sizeof(uint16_t)) +
           taken(RANK_DIGITS, sizeof(rank_digits)) +
           taken(FC_MAX(p->block_rows, p->block_cols), sizeof(real)) +
           levels_scratch(rank_turned(p) ? height : width);
}

/* Integers in the order of the numbers: -0.0 before 0.0, NaNs last. */
FC_INLINE rank_key rank_key_of(real x)
{
    const rank_key sign = (rank_key)1 << (FC_BITS - 1);
    rank_key bits;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? (rank_key)-1 : bits & sign ? ~bits : bits | sign;
}

FC_INLINE int rank_digit(rank_key key, int d)
{
    return (int)(key >> d * RANK_DIGIT & (((rank_key)1 << RANK_DIGIT) - 1));
}

/* Sort the pixels by their keys' digits, the lowest first. */
static void rank_sort(struct rank_tile *t)
{
    const ptrdiff_t n = t->rows * t->columns;
    uint32_t *from = t->order, *to = t->place;
    memset(t->digits, 0, RANK_DIGITS * sizeof *t->digits);
    t->numbers = n;
    for (ptrdiff_t i = 0; i < n; i++) {
        const rank_key key = rank_key_of(t->pixel[i]);
        t->numbers -= key == (rank_key)-1;
        for (int d = 0; d < RANK_DIGITS; d++)
            t->digits[d][rank_digit(key, d)]++;
        from[i] = (uint32_t)i;
    }
    for (int d = 0; d < RANK_DIGITS; d++) {
        uint32_t *const next = t->digits[d];
        if (next[rank_digit(rank_key_of(*t->pixel), d)] == (uint32_t)n)
            continue; /* this digit is the same everywhere */
        for (uint32_t i = 0, before = 0; i < 1 << RANK_DIGIT; i++) {
            const uint32_t count = next[i];
            next[i] = before;
            before += count;
        }
        for (ptrdiff_t i = 0; i < n; i++)
            to[next[rank_digit(rank_key_of(t->pixel[from[i]]), d)]++] = from[i];
        uint32_t *const sorted = to;
        to = from;
        from = sorted;
    }
    t->order = from;
    t->place = to;
    for (ptrdiff_t i = 0; i < n; i++)
        to[from[i]] = (uint32_t)i;
}

/* The source pixels of a block, of one channel. */
static void rank_fetch(const struct fc_filter2d *p, const struct filter_block *b, ptrdiff_t c,
                       real *pixel)
{
    const ptrdiff_t width = b->cols + p->kw - 1, first = b->x0 - p->left;
    for (ptrdiff_t y = b->y0 - p->top; y < b->y1 + p->kh - 1 - p->top; y++, pixel += width)
        filter_fetch_channels(p, pixel, b->plane, y, first, width, c, 1);
}

/* How many of the eight bytes of x, which are less than 128, are at most `most`. */
FC_INLINE int bytes_reached(uint64_t x, uint64_t most)
{
    const uint64_t ones = UINT64_MAX / 0xff, tops = 0x80 * ones;
    const uint64_t reached = ((most * ones | tops) - x) & tops; /* no byte borrows from the next */
    return (int)((reached >> 7) * ones >> 56);
}

/* The position of the bit that `rank` others precede, of those set in x (Vigna's select, 2008). */
FC_INLINE int bit_of_rank(uint64_t x, uint64_t sums, uint64_t rank)
{
    const uint64_t ones = UINT64_MAX / 0xff;
    const int byte = 8 * bytes_reached(sums, rank);
    const uint64_t spread = (x >> byte & 0xff) * ones & 0x8040201008040201; /* bit i in byte i */
    const uint64_t set = (spread + 0x7f * ones) >> 7 & ones;
    return byte + bytes_reached(set * ones, rank - (sums << 8 >> byte & 0xff));
}

/* Where the pixel of a rank in the window that begins at column x stands in the order. */
FC_INLINE ptrdiff_t rank_place(const struct rank_tile *t, struct levels *h, ptrdiff_t x,
                               ptrdiff_t rank)
{
    for (ptrdiff_t at = levels_find(h, x, &rank) << t->shift;; at += 1 << RANK_SHIFT) {
        uint64_t inside = 0;
        FC_UNROLL for (int i = 0; i < 1 << RANK_SHIFT; i += 16)
            inside |= (uint64_t)within_16(t->column + at + i, (uint16_t)x, (uint16_t)h->k) << i;
        const uint64_t sums = bit_sums(inside);
        const ptrdiff_t count = (ptrdiff_t)(sums >> 56);
        if (rank < count)
            return at + bit_of_rank(inside, sums, (uint64_t)rank);
        rank -= count;
    }
}

/* A row comes into the window, or with -1 leaves it. */
FC_INLINE void rank_count_row(const struct rank_tile *t, struct levels *h, ptrdiff_t row, int by)
{
    for (ptrdiff_t i = 0; i < t->columns; i++) {
        const ptrdiff_t place = t->place[row * t->down + i * t->along];
        levels_count(h, i, place >> t->shift, by);
        t->column[place] = by > 0 ? (uint16_t)i : UINT16_MAX;
    }
}

/* A block's outputs of one channel. */
static void rank_channel(const struct fc_filter2d *p, struct rank_tile *t,
                         const struct filter_block *b, ptrdiff_t c)
{
    const ptrdiff_t n = t->rows * t->columns, outputs = t->columns - (t->width - 1);
    const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype);
    const ptrdiff_t down = t->turned ? p->c : p->ow * p->c, along = t->turned ? p->ow * p->c : p->c;
    const ptrdiff_t together = along == 1 ? outputs : 1; /* results that are stored at once */
    char *out = (char *)p->out + (((b->plane * p->oh + b->y0) * p->ow + b->x0) * p->c + c) * size;
    struct levels h;
    rank_fetch(p, b, c, t->pixel);
    rank_sort(t);
    for (t->shift = RANK_SHIFT; (n - 1) >> t->shift >= LEVELS;)
        t->shift++;
    levels_clear(&h, t->histograms, t->columns, t->width);
    memset(t->column, 0xff, (size_t)round_up(n, 1 << RANK_SHIFT) * sizeof *t->column);
    for (ptrdiff_t row = 0; row < t->rows; row++) {
        if (row >= t->height)
            rank_count_row(t, &h, row - t->height, -1);
        rank_count_row(t, &h, row, 1);
        if (row < t->height - 1)
            continue;
        levels_first(&h);
        for (ptrdiff_t x = 0;;) {
            const ptrdiff_t place = rank_place(t, &h, x, p->rank);
            t->line[x] = t->pixel[t->order[place]];
            if (t->numbers < n && rank_place(t, &h, x, p->kh * p->kw - 1) >= t->numbers)
                t->line[x] = (real)NAN;
            if (++x == outputs)
                break;
            levels_next(&h, x);
        }
        for (ptrdiff_t x = 0; x < outputs; x += together)
            store_from_real(out + x * along * size, t->line + x, p->out_dtype, together);
        out += down * size;
    }
}

static void filter_rank(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t n = (p->block_rows + p->kh - 1) * (p->block_cols + p->kw - 1);
    char *area = scratch;
    struct rank_tile t = {.turned = rank_turned(p)};
    t.height = t.turned ? p->kw : p->kh;
    t.width = t.turned ? p->kh : p->kw;
    t.pixel = take(&area, n, sizeof(real));
    t.order = take(&area, n, sizeof(uint32_t));
    t.place = take(&area, n, sizeof(uint32_t));
    t.column = take(&area, round_up(n, 1 << RANK_SHIFT), sizeof(uint16_t));
    t.digits = take(&area, RANK_DIGITS, sizeof(rank_digits));
    t.line = take(&area, FC_MAX(p->block_rows, p->block_cols), sizeof(real));
    t.histograms = area;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const ptrdiff_t height = b.y1 - b.y0 + p->kh - 1, width = b.cols + p->kw - 1;
        t.rows = t.turned ? width : height;
        t.columns = t.turned ? height : width;
        t.down = t.turned ? 1 : width;
        t.along = t.turned ? width : 1;
        for (ptrdiff_t c = 0; c < p->c; c++)
            rank_channel(p, &t, &b, c);
    }
}
#endif
