/* Medians of 3x3 and 5x5 pixels by networks of comparisons, as many pixels at a time as a vector
 * holds.
 *
 * Two rows of 3x3 windows share the order of the six pixels in the two source rows between. Columns of
 * 5 pixels are sorted once for all windows that see them, into a line for each rank; of sorted columns
 * the window's rows are then sorted, after which few numbers may still be the middle one. Results that
 * nobody takes cost nothing: the compiler drops them.
 *
 * Floats of 32 bits are compared as integers, which processors do at twice the pace. The bits of
 * numbers that are not negative are in order as they are: rows are taken for such until one turns out
 * not to be, and the others of a block become integers of the same order first. NaNs have a place in
 * it, too; rows that turn out to hold any are looked through for them afterwards. */

#define MEDIAN_LARGEST 5
#define MEDIAN_AHEAD 3  /* source rows between the last of a window and what is fetched for later */
#define MEDIAN_LATER 16 /* vectors between results and where others will be written */

#if FC_BITS != 32
FC_INLINE vec v_key(vec x) { return x; }
FC_INLINE vec v_key_min(vec a, vec b) { return v_smaller(a, b); }
FC_INLINE vec v_key_max(vec a, vec b) { return v_larger(a, b); }
#endif

/* The number to compare; `plain` ones are compared by their bits as they are. */
FC_INLINE vec median_key(vec x, const int plain) { return plain ? x : v_key(x); }

/* Mark numbers that are not what they are taken for: NaNs, infinities at times, and, where they are
 * plain, any with a sign. */
FC_INLINE void median_mark(vec *wild, vec x, const int plain)
{
#if FC_BITS == 32
    if (plain)
        *wild = v_bits_max(*wild, x);
    else
#endif
        filter_mark(wild, x);
}

FC_INLINE int median_marked(const vec *wild, const int n, const int plain)
{
    int marked = 0;
#if FC_BITS == 32
    real lanes[LANES];
    FC_UNROLL for (int r = 0; r < n && plain; r++) {
        v_store(lanes, wild[r]);
        for (int i = 0; i < LANES; i++)
            marked |= lanes[i] != lanes[i] || signbit(lanes[i]);
    }
#endif
    FC_UNROLL for (int r = 0; r < n && !plain; r++)
        marked |= filter_marked(wild[r]);
    return marked;
}

FC_INLINE void median_order(vec *low, vec *high)
{
    const vec a = *low, b = *high;
    *low = v_key_min(a, b);
    *high = v_key_max(a, b);
}

FC_INLINE void median_sort3(vec *v)
{
    median_order(v, v + 1);
    median_order(v + 1, v + 2);
    median_order(v, v + 1);
}

FC_INLINE void median_sort5(vec *v)
{
    static const signed char network[][2] = {{0, 1}, {3, 4}, {2, 4}, {2, 3}, {1, 4},
                                             {0, 3}, {0, 2}, {1, 3}, {1, 2}};
    FC_UNROLL for (int i = 0; i < 9; i++)
        median_order(v + network[i][0], v + network[i][1]);
}

FC_INLINE vec median_of_3(vec a, vec b, vec c)
{
    median_order(&a, &b);
    return v_key_max(a, v_key_min(b, c));
}

/* Of three triples in order, by the largest of their lows, their middles, and the smallest of their
 * highs. */
FC_INLINE vec median_of_9(vec low, const vec middle[3], vec high)
{
    return median_of_3(low, median_of_3(middle[0], middle[1], middle[2]), high);
}

/* The middle one of 5x5 numbers whose rows and columns are sorted. With (r + 1) * (s + 1) of them
 * no larger than that at (r, s), and (5 - r) * (5 - s) no smaller, it is on one of three
 * diagonals, and the middle one of their 13 numbers. Of the first two of the upper diagonal the
 * smaller is no larger than seven of the 13, and is put aside, as is that of the last two; so are
 * the larger ones of the lower diagonal. Those that stay lie below and above (1, 3), or (3, 1):
 * two triples in order. What is left is sorted into a third. */
FC_INLINE vec median_of_sorted(vec (*v)[MEDIAN_LARGEST])
{
    vec rest[3] = {v[0][4], v[2][2], v[4][0]};
    const vec low = v_key_max(v_key_max(v[0][3], v[1][2]), v_key_max(v[2][1], v[3][0]));
    const vec high = v_key_min(v_key_min(v[1][4], v[2][3]), v_key_min(v[3][2], v[4][1]));
    median_sort3(rest);
    const vec middle[3] = {v[1][3], rest[1], v[3][1]};
    return median_of_9(v_key_max(low, rest[0]), middle, v_key_min(high, rest[2]));
}

/* Where results go, which begin at column x: the first `direct` of a row to out, those from `head` on past
 * the caches or not, others to a line. */
struct median_row {
    ptrdiff_t head, direct, c;
    real *out[2], *line[2];
    const real *ahead[2]; /* source rows that are fetched for later */
    int plain, stream;    /* are numbers taken for plain ones; are results written past the caches? */
};

/* The step after the one at x. Those before `head` may make numbers that the one at `head` makes, too. */
FC_INLINE ptrdiff_t median_next(const struct median_row *m, ptrdiff_t x)
{
    return x < m->head ? FC_MIN(x + LANES, m->head) : x + LANES;
}

FC_INLINE void median_store(const struct median_row *m, int row, ptrdiff_t x, vec median,
                            const int plain)
{
    if (x < m->direct)
        filter_put(m->out[row] + x, median_key(median, plain), m->stream && x >= m->head);
    else
        v_store(m->line[row] + x - m->direct, median_key(median, plain));
}

/* The numbers at x of four rows, to be compared; they are marked if `look`. */
struct median_four {
    vec of[4];
};

FC_INLINE struct median_four median_load(const real *const *row, ptrdiff_t x, vec wild[2], int look,
                                         const int plain)
{
    struct median_four v;
    FC_UNROLL for (int r = 0; r < 4; r++) {
        v.of[r] = v_load(row[r] + x);
        FC_KEEP(v.of[r]);
    }
    if (look)
        FC_UNROLL for (int r = 0; r < 4; r++)
            median_mark(wild + r % 2, v.of[r], plain);
    FC_UNROLL for (int r = 0; r < 4; r++)
        v.of[r] = median_key(v.of[r], plain);
    return v;
}

/* May those of the next pixels of c channels come from registers? They need not become integers again. */
FC_INLINE int median_beside(ptrdiff_t c)
{
    return FC_BITS == 32 && ((V_LATER && c == 1) || (V_PART && 2 * c <= LANES));
}

/* The numbers s pixels past those of a; b are LANES past them. */
FC_INLINE struct median_four median_further(struct median_four a, struct median_four b, const int s, ptrdiff_t c)
{
    FC_UNROLL for (int r = 0; r < 4; r++)
#if V_PART
        a.of[r] = v_part(a.of[r], b.of[r], v_places_from((int)(s * c)));
#elif V_LATER
        a.of[r] = v_later(a.of[r], b.of[r], s);
#endif
    (void)b, (void)s, (void)c;
    return a;
}

/* Medians of 3x3, of two rows of windows that share the source rows 1 and 2; 0 and 3 are of one each. Of the six
 * shared numbers the second to fifth are wanted, and of the merge with three others the fifth. */
FC_INLINE void median_of_pair(vec median[2], const struct median_four v[3])
{
    vec low[3], high[3];
    FC_UNROLL for (int s = 0; s < 3; s++) {
        low[s] = v[s].of[1];
        high[s] = v[s].of[2];
        median_order(low + s, high + s);
    }
    median_sort3(low);
    median_sort3(high);
    median_order(low + 1, high);
    median_order(low + 2, high + 1);
    median_order(low + 2, high);
    FC_UNROLL for (int r = 0; r < 2; r++) {
        vec own[] = {v[0].of[3 * r], v[1].of[3 * r], v[2].of[3 * r]};
        median_sort3(own);
        const vec first = v_key_min(high[1], v_key_max(high[0], own[0]));
        median[r] = v_key_min(first, v_key_min(v_key_max(low[2], own[1]), v_key_max(low[1], own[2])));
    }
}

/* Two rows of medians of 3x3, from x to end. Are any of their numbers marked? (The last 2 * c of a row, which no
 * window begins with, are not looked at.) */
FC_INLINE int median_3x3(const struct median_row *to, const real *const *row, ptrdiff_t x, ptrdiff_t end,
                         const int beside, const int stream, const int plain)
{
    struct median_row m = *to;
    const real *const rows[] = {row[0], row[1], row[2], row[3]}; /* which no store can change */
    vec wild[] = {v_set1(0), v_set1(0)}, median[2];
    m.stream = stream;
    while (x < end) {
        struct median_four v[3] = {median_load(rows, x, wild, 1, plain)}, next = v[0];
        ptrdiff_t after;
        do {
            after = x + LANES;
            FC_UNROLL for (int r = 0; r < 2; r++) {
                FC_PREFETCH(m.ahead[r] + x);
                if (FC_BITS < 32 && !stream) /* where little else is waited for */
                    FC_PREFETCH_WRITE(m.out[r] + x + MEDIAN_LATER * LANES);
            }
            if (beside)
                next = median_load(rows, after, wild, after < end, plain);
            FC_UNROLL for (int s = 1; s < 3; s++)
                v[s] = beside ? median_further(v[0], next, s, m.c)
                              : median_load(rows, x + s * m.c, wild, 0, plain);
            median_of_pair(median, v);
            FC_UNROLL for (int r = 0; r < 2; r++)
                median_store(&m, r, x, median[r], plain);
            x = median_next(&m, x);
            v[0] = next;
        } while (beside && x == after && x < end);
    }
    return median_marked(wild, 2, plain);
}

/* The same of numbers [x, end) at the ends of so many lines, past which there are zeros. */
FC_INLINE int median_looked(const real *const *row, int rows, ptrdiff_t x, ptrdiff_t end, const int plain)
{
    vec wild = v_set1(0);
    for (int r = 0; r < rows; r++)
        for (ptrdiff_t i = x; i < end; i += LANES)
            median_mark(&wild, v_load(row[r] + i), plain);
    return median_marked(&wild, 1, plain);
}

/* Columns of 5 source rows, sorted, as integers: line r of `rank` is that of their r-th smallest. */
FC_INLINE int median_columns(const struct median_row *m, const real *const *row, real *const *rank,
                             ptrdiff_t x, ptrdiff_t end, const int plain)
{
    const real *const ahead = m->ahead[0];
    vec wild[MEDIAN_LARGEST];
    FC_UNROLL for (int r = 0; r < MEDIAN_LARGEST; r++)
        wild[r] = v_set1(0);
    for (; x < end; x = median_next(m, x)) {
        vec v[MEDIAN_LARGEST];
        FC_PREFETCH(ahead + x);
        FC_UNROLL for (int r = 0; r < MEDIAN_LARGEST; r++) {
            v[r] = v_load(row[r] + x);
            FC_KEEP(v[r]);
            median_mark(wild + r, v[r], plain);
            v[r] = median_key(v[r], plain);
        }
        median_sort5(v);
        FC_UNROLL for (int r = 0; r < MEDIAN_LARGEST; r++)
            v_store(rank[r] + x, v[r]);
    }
    return median_marked(wild, MEDIAN_LARGEST, plain);
}

/* A row of medians of 5x5, from such lines. */
static void median_5x5(const struct median_row *to, real *const *rank, ptrdiff_t n, int plain)
{
    enum { K = MEDIAN_LARGEST };
    const real *const local[] = {rank[0], rank[1], rank[2], rank[3], rank[4]};
    const struct median_row m = *to;
    for (ptrdiff_t x = 0; x < n; x = median_next(&m, x)) {
        vec v[K][K];
        FC_UNROLL for (int r = 0; r < K; r++) {
            FC_UNROLL for (int s = 0; s < K; s++) {
                v[r][s] = v_load(local[r] + x + s * m.c);
                FC_KEEP(v[r][s]);
            }
            median_sort5(v[r]);
        }
        median_store(&m, 0, x, median_of_sorted(v), plain);
    }
}

/* The source rows, k lines of sorted columns, two rows on their way out. */
FC_SMALL size_t filter_median_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return filter_rows_taken(p, LANES) + taken((p->kh + 2) * filter_pitch(p, LANES), sizeof(real));
}

/* Steps of windows along a row, and the source rows they see. */
#define MEDIAN_PARTS 3
struct median_part {
    const real *const *row;
    ptrdiff_t x, end;
};

/* The results of the parts of a row, or of two, of which the first is an even one of the image or
 * not. Are any of their numbers marked? */
FC_INLINE int median_parts(const struct median_row *m, const struct median_part *part, real *const *rank,
                           ptrdiff_t k, int rows, int even, const int plain)
{
    const struct median_part last = part[MEDIAN_PARTS - 1];
    const ptrdiff_t n = last.end, seen = n + (k - 1) * m->c;
    const int beside = !plain && median_beside(m->c);
    int marked = 0;
    for (int i = 0; i < MEDIAN_PARTS; i++) {
        const struct median_part t = part[i];
        const real *const *const at = t.row + even;
        const real *const four[] = {t.row[even ? 0 : 2], at[0], at[1], t.row[rows == 2 ? 3 : 0]};
        if (k == 5)
            marked |= median_columns(m, t.row, rank, t.x, i == MEDIAN_PARTS - 1 ? seen : t.end, plain);
        else if (beside)
            marked |= median_3x3(m, four, t.x, t.end, 1, m->stream, plain);
        else if (FC_BITS == 16 || (FC_BITS == 8 && !m->stream)) /* one variant of shorts, two of bytes */
            marked |= median_3x3(m, four, t.x, t.end, 0, 0, plain);
        else
            marked |= median_3x3(m, four, t.x, t.end, 0, FC_BITS == 8 ? 1 : m->stream, plain);
    }
    if (k == 5)
        median_5x5(m, rank, n, plain);
    else
        marked |= median_looked(last.row, 2 + rows, n, seen, plain);
    return marked;
}

/* Medians of the source rows from `first` on, of two rows if there are as many and they are a pair:
 * one of an even row of the image and the next. How many rows is the answer. */
static int median_results(struct median_row *m, const struct filter_rows *source, real *const *rank,
                          const struct fc_filter2d *p, const struct filter_block *b, ptrdiff_t first)
{
    const ptrdiff_t k = p->kh, n = b->cols * p->c;
    const struct filter_inside in = source->ends.in;
    const real *const *const around = (const real *const *)source->around + first;
    const struct median_part part[MEDIAN_PARTS] = {
        {around, 0, in.first}, {source->inside + first, in.first, in.end}, {around, in.end, n}};
    const int even = (b->y0 + first) % 2 == 0, two = k == 3 && even && b->y0 + first + 1 < b->y1;
    int marked = 0;
    struct median_row to = *m;
    if (k == 3 && !two) { /* the other row of the pair is no result */
        to.out[1] = to.line[1];
        to.stream = 0;
    }
    m->plain = m->plain && FC_BITS == 32; /* known when compiled, for the other types */
    if (m->plain && median_parts(&to, part, rank, k, 1 + two, even, 1))
        m->plain = 0;
    if (!m->plain)
        marked = median_parts(&to, part, rank, k, 1 + two, even, 0);
    for (int i = 0; i < MEDIAN_PARTS && marked; i++)
        for (int r = 0; r < 1 + two; r++) {
            const ptrdiff_t direct = FC_MIN(part[i].end, m->direct), x = FC_MAX(part[i].x, m->direct);
            filter_nans(p, m->out[r], part[i].row + r, part[i].x, direct);
            filter_nans(p, m->line[r] - m->direct, part[i].row + r, x, part[i].end);
        }
    return 1 + two;
}

static void filter_median(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, LANES), size = (ptrdiff_t)dtype_size(p->out_dtype);
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        char *area = scratch;
        const ptrdiff_t n = b.cols * p->c, row = p->ow * p->c * size;
        const ptrdiff_t before = filter_head(p, &b, p->out);
        const int stream = filter_streams(p) && n >= before + LANES; /* steps have room */
        const ptrdiff_t head = stream ? before : 0;
        const ptrdiff_t direct = p->out_dtype == REAL_DTYPE ? n - (n - head) % LANES : 0;
        const struct filter_rows source = filter_rows(p, &b, LANES, head, &area);
        real *const line = take(&area, (p->kh + 2) * pitch, sizeof(real));
        struct median_row m = {.head = head, .direct = direct, .c = p->c, .line = {line, line + pitch},
                               .plain = FC_BITS == 32, .stream = stream};
        real *rank[MEDIAN_LARGEST];
        int rows;
        for (ptrdiff_t r = 0; r < p->kh; r++)
            rank[r] = line + (r + 2) * pitch;
        for (ptrdiff_t y = b.y0; y < b.y1; y += rows) {
            char *const out = (char *)p->out + (b.plane * p->oh + y) * row + b.x0 * p->c * size;
            const ptrdiff_t ahead = y - b.y0 + p->kh - 1 + MEDIAN_AHEAD;
            m.out[0] = (real *)(void *)out;
            m.out[1] = (real *)(void *)(out + row);
            for (int r = 0; r < 2; r++)
                m.ahead[r] = filter_rows_past(p, &source, ahead + r);
            rows = median_results(&m, &source, rank, p, &b, y - b.y0);
            for (int r = 0; r < rows; r++)
                store_from_real(out + r * row + direct * size, m.line[r], p->out_dtype, n - direct);
        }
    }
    v_stream_end();
}
