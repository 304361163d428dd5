/* Sums, maxima and minima of a rectangle of pixels, in a time per pixel that hardly grows with it.
 * (Small ones: filter_slide.h; sums of uint8: filter_box.h)
 *
 * Along a row, spans double: of neighbouring results for s pixels, s apart, those for 2 s are made,
 * and so on (narrow windows go term by term). Down the columns van Herk's and Gil and Werman's
 * algorithm: the rows of the image are cut into groups of kh; a window is the end of one group and
 * the beginning of the next, and both grow by one operation for each row. Groups begin at multiples
 * of kh in the image, so the order of a sum depends on its place there and on nothing else. Nothing
 * is ever subtracted: a NaN stays inside its window, and no rounding error outlives it.
 *
 * Bound by the passes over lines in the L1 cache. */

#define WINDOW_NARROW 8  /* terms up to which single loads beat doubling */
#define WINDOW_VECTORS 4 /* joined at a time: lines have room for as many past their end */
#define WINDOW_STEP (WINDOW_VECTORS * LANES)

/* What joins elements: FC_SUM, FC_MAXIMUM, FC_MINIMUM, and the latter two of numbers alone. */
enum { WINDOW_NUMBERS = 4 };

FC_INLINE vec window_join(vec a, vec b, const int join)
{
    switch (join) {
#if FC_BITS >= 32 /* of integers there are maxima and minima alone, and all are numbers */
    case FC_SUM: return v_add(a, b);
    case FC_MAXIMUM: return v_max(a, b);
    case FC_MINIMUM: return v_min(a, b);
#endif
    case FC_MAXIMUM | WINDOW_NUMBERS: return v_larger(a, b);
    default: return v_smaller(a, b);
    }
}

/* dst[i] = x[0][i] joined with x[1][i] to x[k - 1][i], for i < n rounded up to whole steps, in
 * order: dst may be x[0], and the others may be later parts of it. */
FC_INLINE void window_terms_of(real *dst, const real *const *x, ptrdiff_t k, ptrdiff_t n,
                               const int join)
{
    for (ptrdiff_t i = 0; i < n; i += WINDOW_STEP) {
        vec acc[WINDOW_VECTORS];
        FC_UNROLL for (int v = 0; v < WINDOW_VECTORS; v++)
            acc[v] = v_load(x[0] + i + v * LANES);
        for (ptrdiff_t j = 1; j < k; j++) {
            const real *const term = x[j] + i;
            FC_UNROLL for (int v = 0; v < WINDOW_VECTORS; v++)
                acc[v] = window_join(acc[v], v_load(term + v * LANES), join);
        }
        FC_UNROLL for (int v = 0; v < WINDOW_VECTORS; v++)
            v_store(dst + i + v * LANES, acc[v]);
    }
}
static void window_terms(real *dst, const real *const *x, ptrdiff_t k, ptrdiff_t n, int join)
{
#define WINDOW_CASE(join) \
    case join: k == 2 ? window_terms_of(dst, x, 2, n, join) : window_terms_of(dst, x, k, n, join); break;
    switch (join) {
#if FC_BITS >= 32
        WINDOW_CASE(FC_SUM)
        WINDOW_CASE(FC_MAXIMUM)
        WINDOW_CASE(FC_MINIMUM)
#endif
        WINDOW_CASE(FC_MAXIMUM | WINDOW_NUMBERS)
        WINDOW_CASE(FC_MINIMUM | WINDOW_NUMBERS)
    }
}
static void window_pair(real *dst, const real *x, const real *y, ptrdiff_t n, int join)
{
    const real *const pair[] = {x, y};
    window_terms(dst, pair, 2, n, join);
}

/* n windows of k elements, c apart, along a line, which is used up. */
static void window_along(real *dst, real *line, ptrdiff_t k, ptrdiff_t c, ptrdiff_t n, int join)
{
    const int sum = join == FC_SUM;
    ptrdiff_t span = 1, done = 0;
    if (k <= WINDOW_NARROW) {
        const real *term[WINDOW_NARROW];
        for (ptrdiff_t j = 0; j < k; j++)
            term[j] = line + j * c;
        window_terms(dst, term, k, n, join);
        return;
    }
    for (;; span *= 2) { /* line holds windows of `span` elements, dst of the first `done` */
        if (sum && k & span) {
            if (done)
                window_pair(dst, dst, line + done * c, n, join);
            else
                memcpy(dst, line, (size_t)n * sizeof(real));
            done += span;
        }
        if (2 * span > k)
            break;
        window_pair(line, line, line + span * c, n + (k - 2 * span) * c, join);
    }
    if (!sum) /* the two halves may overlap */
        window_pair(dst, line, line + (k - span) * c, n, join);
}

/* From one row of outputs to the next. */
static ptrdiff_t window_row_pitch(const struct fc_filter2d *p)
{
    return odd_lines(p->block_cols * p->c + WINDOW_STEP);
}

/* A ring of rows, the beginning of a group, a row on its way out, two lines on their way in. */
FC_SMALL size_t filter_window_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken((p->kh + 2) * window_row_pitch(p), sizeof(real)) +
           taken(2 * filter_pitch(p, WINDOW_STEP), sizeof(real));
}

struct window_work;

/* What a filter does with a source row s, as it comes and along it, and with a row of outputs: of k
 * lines, which are joined. */
struct window_steps {
    void (*read)(struct window_work *w, ptrdiff_t s);
    void (*along)(const struct window_work *w, ptrdiff_t s, real *slot);
    void (*store)(const struct window_work *w, ptrdiff_t y, const real *const *row, ptrdiff_t k);
};

struct window_work {
    const struct window_steps *steps;
    const struct fc_filter2d *p;
    const struct filter_block *b;
    struct filter_ends whole;
    real *ring, *head, *out, *in[2];
    ptrdiff_t pitch, n; /* n: numbers of a row of outputs, or of sums */
    ptrdiff_t wild;     /* the last source row with what may not be a number, or -1 */
};

/* How to join rows from s on. Only maxima and minima that meet a NaN take more than one operation. */
FC_INLINE int window_how(const struct window_work *w, ptrdiff_t s)
{
    const int numbers = w->p->reduction != FC_SUM && (FC_BITS < 32 || s > w->wild);
    return w->p->reduction | (numbers ? WINDOW_NUMBERS : 0);
}

/* Source rows are counted from the first that the image's windows see. */
static void window_read(struct window_work *w, ptrdiff_t s)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t count = w->b->cols + p->kw - 1;
    real *const line = w->in[s % 2];
    filter_fetch(p, line, &w->whole, s - p->top);
    if (p->reduction != FC_SUM && filter_wild(p, line, count * p->c))
        w->wild = s;
}

static void window_row(const struct window_work *w, ptrdiff_t s, real *slot)
{
    window_along(slot, w->in[s % 2], w->p->kw, w->p->c, w->n, window_how(w, s));
}

/* Rows come in order. Each is read before the one above it is used: loads that straddle two stores
 * wait until both have left the processor. */
static void window_fetch(struct window_work *w, ptrdiff_t s, real *slot)
{
    if (s == w->b->y0)
        w->steps->read(w, s);
    if (s + 1 < w->b->y1 + w->p->kh - 1)
        w->steps->read(w, s + 1);
    w->steps->along(w, s, slot);
}

/* Join k lines, of rows from y on, and store them as the row of outputs y. */
static void window_store(const struct window_work *w, ptrdiff_t y, const real *const *row, ptrdiff_t k)
{
    const struct fc_filter2d *const p = w->p;
    const ptrdiff_t at = ((w->b->plane * p->oh + y) * p->ow + w->b->x0) * p->c;
    char *const out = (char *)p->out + at * (ptrdiff_t)dtype_size(p->out_dtype);
    const ptrdiff_t direct =
        p->out_dtype == REAL_DTYPE && p->scale == 1 ? w->n - w->n % WINDOW_STEP : 0;
    const real *rest[2];

    window_terms((real *)out, row, k, direct, window_how(w, y));
    if (direct == w->n)
        return;
    for (ptrdiff_t j = 0; j < k; j++)
        rest[j] = row[j] + direct;
    window_terms(w->out, rest, k, w->n - direct, window_how(w, y));
#if FC_BITS >= 32
    if (p->scale != 1)
        for (ptrdiff_t i = 0; i < w->n; i += LANES)
            v_store(w->out + i, v_div(v_load(w->out + i), v_set1((real)p->scale)));
#endif
    store_from_real(out + direct * (ptrdiff_t)dtype_size(p->out_dtype), w->out, p->out_dtype,
                    w->n - direct);
}

/* Group by group. A window of rows [y, y + kh) is the rest of the group that ends before row
 * `next`, which its slot holds once they are joined from behind, and the head of the next one. */
static void window_groups(struct window_work *w)
{
    const ptrdiff_t kh = w->p->kh;
    ptrdiff_t next = w->b->y0, fetched = w->b->y0;
    for (ptrdiff_t y = w->b->y0; y < w->b->y1; y++) {
        real *const slots = w->ring; /* of the group that ends before `next`, or of the next one */
        if (y == next) {
            next = y / kh * kh + kh;
            for (; fetched < next; fetched++)
                window_fetch(w, fetched, slots + (fetched + kh - next) * w->pitch);
            for (ptrdiff_t s = next - 2; s >= y; s--) {
                real *const rest = slots + (s + kh - next) * w->pitch;
                window_pair(rest, rest, rest + w->pitch, w->n, window_how(w, y));
            }
        }
        for (; fetched < y + kh; fetched++) {
            real *const slot = slots + (fetched - next) * w->pitch;
            window_fetch(w, fetched, slot);
            if (fetched == next)
                memcpy(w->head, slot, (size_t)w->n * sizeof(real));
            else
                window_pair(w->head, w->head, slot, w->n, window_how(w, y));
        }
        const real *const row[] = {slots + (y + kh - next) * w->pitch, w->head};
        w->steps->store(w, y, row, y + kh > next ? 2 : 1);
    }
}

static const struct window_steps window_steps = {window_read, window_row, window_store};

static void filter_window(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t line = filter_pitch(p, WINDOW_STEP), row = window_row_pitch(p);
    char *area = scratch;
    real *const ring = take(&area, (p->kh + 2) * row, sizeof(real)), *const head = ring + p->kh * row;
    real *const in = take(&area, 2 * line, sizeof(real));
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        struct window_work w = {&window_steps, p, &b, fc_filter_ends(p, &b, FILTER_NOWHERE), ring, head,
                                head + row, {in, in + line}, row, b.cols * p->c, -1};
        window_groups(&w);
    }
}
