/* The pixel of any rank in small rectangles, by networks of comparisons, as many pixels at a time as
 * vectors hold.
 *
 * A list is a line of smallest numbers, a line of the next, and so on: at x, in order, the numbers of
 * some neighbouring columns from x on. Columns are sorted (Batcher's merge exchange). Neighbours'
 * lists are merged (his bitonic merge, 1968) into lists of 2, 4, 8, ... columns, which serve every
 * window that they lie in; those that add up to a window's width are merged in turn. The last two are
 * not: the number of one rank is found for less. A number that too many of its list precede or follow
 * to be the result is left out.
 *
 * Floats of 32 bits are compared as integers (filter_median.h), in whose order a NaN has a place;
 * windows that hold one are looked for afterwards. */

#define NETWORK_VECTORS 2 /* side by side */
#define NETWORK_STEP (NETWORK_VECTORS * LANES)

typedef struct {
    vec v[NETWORK_VECTORS];
} network_vec;

struct network_list {
    real *line;
    ptrdiff_t n, dropped; /* numbers at each x, and smaller ones that were left out */
};

struct network {
    const struct fc_filter2d *p;
    network_vec *v;  /* numbers on their way through a network */
    ptrdiff_t pitch; /* from a list's line to the next */
};

FC_INLINE network_vec network_load(const real *x)
{
    network_vec a;
    FC_UNROLL for (int i = 0; i < NETWORK_VECTORS; i++)
        a.v[i] = v_load(x + i * LANES);
    return a;
}

FC_INLINE void network_store(real *x, network_vec a)
{
    FC_UNROLL for (int i = 0; i < NETWORK_VECTORS; i++)
        v_store(x + i * LANES, a.v[i]);
}

FC_INLINE network_vec network_key(network_vec a)
{
    FC_UNROLL for (int i = 0; i < NETWORK_VECTORS; i++)
        a.v[i] = v_key(a.v[i]);
    return a;
}

FC_INLINE void network_order(network_vec *low, network_vec *high)
{
    FC_UNROLL for (int i = 0; i < NETWORK_VECTORS; i++)
        median_order(low->v + i, high->v + i);
}

/* Merge exchange: Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M. */
FC_INLINE void network_sort(network_vec *v, ptrdiff_t n)
{
    ptrdiff_t most = 1;
    while (2 * most < n)
        most *= 2;
    for (ptrdiff_t p = most; p > 0; p /= 2)
        for (ptrdiff_t q = most, r = 0, d = p;; d = q - p, q /= 2, r = p) {
            for (ptrdiff_t i = 0; i + d < n; i++)
                if ((i & p) == r)
                    network_order(v + i, v + i + d);
            if (q == p)
                break;
        }
}

/* Two steps of a merge at once, for half as many loads and stores: of four numbers `step` apart, of
 * which those at n and beyond do not exist, as if none of the others were larger. */
FC_INLINE void network_merge_steps(network_vec *v, ptrdiff_t step, ptrdiff_t n)
{
    if (n <= step)
        return;
    network_vec a = v[0], b = v[step];
    if (n <= 2 * step) {
        network_order(&a, &b);
    } else {
        network_vec c = v[2 * step];
        network_order(&a, &c);
        if (n > 3 * step) {
            network_vec d = v[3 * step];
            network_order(&b, &d);
            network_order(&c, &d);
            v[3 * step] = d;
        }
        network_order(&a, &b);
        v[2 * step] = c;
    }
    v[0] = a;
    v[step] = b;
}

/* Sort what first falls, then rises, as far as the places [first, last) are concerned. */
FC_INLINE void network_merge(network_vec *v, ptrdiff_t n, ptrdiff_t first, ptrdiff_t last)
{
    ptrdiff_t half = 1;
    while (2 * half < n)
        half *= 2;
    for (; half > 1; half /= 4)
        for (ptrdiff_t block = 0; block < FC_MIN(n, last); block += 2 * half)
            for (ptrdiff_t i = block; i < block + half / 2 && block + 2 * half > first; i++)
                network_merge_steps(v + i, half / 2, n - i);
    for (ptrdiff_t i = 0; half == 1 && i + 1 < n; i += 2)
        network_order(v + i, v + i + 1);
}

/* The lists of single columns, of n numbers in each of kh rows. */
static void network_columns(const struct network *w, real *list, const real *const *row,
                               ptrdiff_t n)
{
    const ptrdiff_t kh = w->p->kh;
    for (ptrdiff_t x = 0; x < n; x += NETWORK_STEP) {
        for (ptrdiff_t i = 0; i < kh; i++)
            w->v[i] = network_key(network_load(row[i] + x));
        network_sort(w->v, kh);
        for (ptrdiff_t i = 0; i < kh; i++)
            network_store(list + i * w->pitch + x, w->v[i]);
    }
}

/* The places [first, last) of two lists together. */
static void network_join(const struct network *w, real *list, struct network_list a,
                            struct network_list b, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n)
{
    for (ptrdiff_t x = 0; x < n; x += NETWORK_STEP) {
        for (ptrdiff_t i = 0; i < a.n; i++)
            w->v[i] = network_load(a.line + (a.n - 1 - i) * w->pitch + x);
        for (ptrdiff_t i = 0; i < b.n; i++)
            w->v[a.n + i] = network_load(b.line + i * w->pitch + x);
        network_merge(w->v, a.n + b.n, first, last);
        for (ptrdiff_t i = first; i < last; i++)
            network_store(list + (i - first) * w->pitch + x, w->v[i]);
    }
}

/* The largest of rank + 1 numbers: the first i of list a, and of list b the first of the others. */
FC_INLINE network_vec network_largest(const struct network *w, struct network_list a,
                                      struct network_list b, ptrdiff_t rank, ptrdiff_t i,
                                      ptrdiff_t x)
{
    const real *const last = i > 0 ? a.line + (i - 1) * w->pitch : b.line + rank * w->pitch;
    const real *const other = i <= rank ? b.line + (rank - i) * w->pitch : last;
    network_vec low = network_load(last + x), high = network_load(other + x);
    network_order(&low, &high);
    return high;
}

/* The number of a rank among two lists: the least that so many numbers of them can end in. */
static void network_select(const struct network *w, real *out, struct network_list a,
                           struct network_list b, ptrdiff_t n)
{
    const ptrdiff_t rank = w->p->rank - a.dropped - b.dropped;
    const ptrdiff_t fewest = FC_MAX(rank + 1 - b.n, 0), most = FC_MIN(a.n, rank + 1);
    for (ptrdiff_t x = 0; x < n; x += NETWORK_STEP) {
        network_vec least = network_largest(w, a, b, rank, fewest, x);
        for (ptrdiff_t i = fewest + 1; i <= most; i++) {
            network_vec other = network_largest(w, a, b, rank, i, x);
            network_order(&least, &other);
        }
        network_store(out + x, network_key(least));
    }
}

/* The lists of so many columns, those of two lists, at the beginning of `area`, which moves on. */
static struct network_list network_joined(const struct network *w, real **area,
                                          struct network_list a, struct network_list b,
                                          ptrdiff_t columns, ptrdiff_t n)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t dropped = a.dropped + b.dropped;
    /* The result has so many numbers before it that are not left out yet, and so many after it. */
    const ptrdiff_t before = p->rank - dropped, after = p->kh * p->kw - 1 - p->rank;
    const ptrdiff_t first = FC_MAX(columns * p->kh - dropped - 1 - after, 0);
    const ptrdiff_t last = FC_MIN(before + 1, a.n + b.n);
    const struct network_list joined = {*area, last - first, dropped + first};
    network_join(w, joined.line, a, b, first, last, n);
    *area += joined.n * w->pitch;
    return joined;
}

/* The same lists, from some numbers on. */
FC_INLINE struct network_list network_from(struct network_list list, ptrdiff_t numbers)
{
    list.line += numbers;
    return list;
}

/* A row of outputs, of cols pixels. */
static void network_row(const struct network *w, real *out, const real *const *row, real *area,
                        ptrdiff_t cols)
{
    const ptrdiff_t kh = w->p->kh, kw = w->p->kw, c = w->p->c, source = cols + kw - 1;
    struct network_list list = {area, kh, 0}, begin = {area, 0, 0};
    ptrdiff_t span = 1, done = 0; /* columns of list, and those that begin a window */
    network_columns(w, area, row, source * c);
    area += kh * w->pitch;
    for (;; span *= 2) {
        if (kw == 2 * span) {
            begin = list;
            done = span;
        }
        const struct network_list next = network_from(list, done * c);
        if (done + span == kw) {
            network_select(w, out, begin, next, cols * c);
            return;
        }
        if (kw & span) {
            begin = done ? network_joined(w, &area, begin, next, done + span, cols * c) : list;
            done += span;
        }
        list = network_joined(w, &area, list, network_from(list, span * c), 2 * span,
                              (source - 2 * span + 1) * c);
    }
}

/* A ring of source lines and a row of results; the lists of 1, 2, 4, ... columns, and those that begin
 * a window: both together less than twice the window's numbers. */
FC_SMALL size_t filter_network_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken((p->kh + 1) * filter_pitch(p, WINDOW_STEP), sizeof(real)) +
           taken(p->kh, sizeof(real *)) + taken(p->kh * p->kw, sizeof(network_vec)) +
           taken(2 * p->kh * p->kw * filter_pitch(p, WINDOW_STEP), sizeof(real));
}

static void filter_network(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, WINDOW_STEP);
    char *area = scratch;
    real *const ring = take(&area, (p->kh + 1) * pitch, sizeof(real));
    real *const line = ring + p->kh * pitch;
    const real **const row = take(&area, p->kh, sizeof *row);
    struct network w = {p, take(&area, p->kh * p->kw, sizeof(network_vec)), pitch};
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const struct filter_ends whole = fc_filter_ends(p, &b, FILTER_NOWHERE);
        ptrdiff_t wild = -1; /* the last source row with what may not be a number */
        for (ptrdiff_t s = b.y0; s < b.y1 + p->kh - 1; s++) {
            const ptrdiff_t y = s - (p->kh - 1), at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            real *const last = ring + s % p->kh * pitch;
            filter_fetch(p, last, &whole, s - p->top);
            if (filter_wild(p, last, (b.cols + p->kw - 1) * p->c))
                wild = s;
            if (y < b.y0)
                continue;
            for (ptrdiff_t i = 0; i < p->kh; i++)
                row[i] = ring + (y + i) % p->kh * pitch;
            network_row(&w, line, row, (real *)area, b.cols);
            if (wild >= y)
                filter_nans(p, line, row, 0, b.cols * p->c);
            store_from_real((char *)p->out + at * (ptrdiff_t)dtype_size(p->out_dtype), line,
                            p->out_dtype, b.cols * p->c);
        }
    }
}
