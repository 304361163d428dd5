/* Sums and means of rectangles of uint8 pixels, in a time per pixel that hardly grows with them.
 *
 * Integers may be subtracted. Each source row is summed along itself, in 16 bits: a few terms
 * first, and of sums of s pixels then those of 2 s or of 2 s + 1. From one row of windows to the
 * next each gains the sum of the row that enters, and loses that of the row that leaves, which a
 * ring has kept. Windows whose sum fits in 16 bits are divided there, to be uint8; others in
 * floats.
 *
 * Bound by loads from the L1 cache, most of which cross a cache line. */

#define BOX_TERMS 10 /* of a row, up to which single loads beat doubling */
#define BOX_VECTORS 4 /* at a time: lines have room for as many past their end */
#define BOX_STEP (BOX_VECTORS * WIDE_LANES)
#define BOX_AREA 256 /* of windows whose sum, and half their area beside it, fits in 16 bits */

/* What divides 16-bit integers x by the area: (x + add) * factor >> (16 + shift). Either the next
 * larger factor serves or, with one more in x, the next smaller one (Robison, 2005); all sums of
 * all areas are in the tests. */
struct box_divisor {
    int add, factor, shift, half, even;
};

static struct box_divisor box_divisor(int area)
{
    struct box_divisor d = {.half = (area - 1) / 2, .even = area % 2 == 0};
    while (area > 2 << d.shift)
        d.shift++;
    const int one = 1 << (16 + d.shift);
    d.factor = (one + area - 1) / area;
    if (d.factor * area - one > 1 << d.shift) {
        d.factor--;
        d.add = 1;
    }
    return d;
}

/* x, `add` included, divided and rounded. Half of an even area less one makes ties go down; where
 * that would leave an odd number, one more makes them go up. */
FC_INLINE wide box_divide(wide x, struct box_divisor d)
{
    const wide factor = wide_set1(d.factor);
    const wide odd = wide_and(wide_shift(wide_mul_high(x, factor), d.shift), wide_set1(d.even));
    const wide raised = wide_add(wide_add(x, wide_set1(d.half)), odd);
    return wide_shift(wide_mul_high(raised, factor), d.shift);
}

/* dst = n sums of k pixels, c apart. */
static void box_terms(int16_t *dst, const uint8_t *line, ptrdiff_t k, ptrdiff_t c, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += BOX_STEP) {
        const uint8_t *x = line + i;
        wide sum[BOX_VECTORS];
        FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++)
            sum[v] = wide_load(x + v * WIDE_LANES);
        for (ptrdiff_t j = 1; j < k; j++) {
            x += c;
            FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++)
                sum[v] = wide_add(sum[v], wide_load(x + v * WIDE_LANES));
        }
        FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++)
            wide_store(dst + i + v * WIDE_LANES, sum[v]);
    }
}

/* Of sums of neighbours, `far` numbers apart, those of both; and the pixels of `line`, if any. */
FC_INLINE void box_double(int16_t *sum, ptrdiff_t far, const uint8_t *line, ptrdiff_t n,
                          const int odd)
{
    for (ptrdiff_t i = 0; i < n; i += BOX_STEP) {
        wide both[BOX_VECTORS];
        FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++) {
            const ptrdiff_t at = i + v * WIDE_LANES;
            both[v] = wide_add(wide_load_16(sum + at), wide_load_16(sum + at + far));
            if (odd)
                both[v] = wide_add(both[v], wide_load(line + at));
        }
        FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++)
            wide_store(sum + i + v * WIDE_LANES, both[v]);
    }
}

/* dst = n sums of k neighbours of a line. */
static void box_along(int16_t *dst, const uint8_t *line, ptrdiff_t k, ptrdiff_t c, ptrdiff_t n)
{
    int doublings = 0;
    while (k >> doublings > BOX_TERMS)
        doublings++;
    ptrdiff_t span = k >> doublings;
    box_terms(dst, line, span, c, n + (k - span) * c);
    while (doublings--) {
        const ptrdiff_t far = span * c;
        span = k >> doublings;
        if (span % 2)
            box_double(dst, far, line + 2 * far, n + (k - span) * c, 1);
        else
            box_double(dst, far, NULL, n + (k - span) * c, 0);
    }
}

/* What moves n windows down a row: the sums along the row that leaves them, which become those of
 * the row that enters, and where the results are stored, if anywhere. */
struct box_lines {
    int16_t *leaves;
    const int16_t *enters;
    ptrdiff_t n;
    void *out;
};

/* Move them in 16 bits, and store their means. */
static void box_down_narrow(const struct box_lines *lines, int16_t *sum, const struct box_divisor d)
{
    const struct box_lines t = *lines; /* which no store can change */
    uint8_t *const out = t.out;
    uint8_t last[BOX_STEP];
    for (ptrdiff_t i = 0; i < t.n; i += BOX_STEP) {
        uint8_t *const to = out && t.n - i >= BOX_STEP ? out + i : last;
        FC_UNROLL for (int v = 0; v < BOX_VECTORS; v++) {
            const ptrdiff_t at = i + v * WIDE_LANES;
            wide enters = wide_load_16(t.enters + at);
            FC_KEEP(enters);
            const wide more = wide_sub(enters, wide_load_16(t.leaves + at));
            const wide moved = wide_add(wide_load_16(sum + at), more);
            wide_store(t.leaves + at, enters);
            wide_store(sum + at, moved);
            if (out)
                wide_store_8(to + v * WIDE_LANES, box_divide(moved, d));
        }
        if (out && to == last)
            memcpy(out + i, last, (size_t)(t.n - i));
    }
}

/* Sums divided by a number (by 1 it changes none), rounded once as in slide_mean, saturated. */
#define BOX_STORE(type, most, round)                                                          \
    do {                                                                                       \
        type *const to = out;                                                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                                    \
            const float x = (float)sum[i], q = x * inverse;                                    \
            const float mean = fmaf(fmaf(-q, by, x), inverse, q);                              \
            to[i] = (type)round(mean < (most) ? mean : (most));                                \
        }                                                                                      \
    } while (0)
#define BOX_ROUND (int32_t)rintf

static void box_store(void *out, const int32_t *sum, float by, int dtype, ptrdiff_t n)
{
    const float inverse = 1 / by;
    switch (dtype) {
    case FC_UINT8: BOX_STORE(uint8_t, UINT8_MAX, BOX_ROUND); break;
    case FC_UINT16: BOX_STORE(uint16_t, UINT16_MAX, BOX_ROUND); break;
    case FC_INT16: BOX_STORE(int16_t, INT16_MAX, BOX_ROUND); break;
    default: BOX_STORE(float, FLT_MAX, ); break;
    }
}

/* Move them in 32 bits. */
static void box_down(const struct box_lines *lines, int32_t *sum, const struct fc_filter2d *p)
{
    const struct box_lines t = *lines;
    for (ptrdiff_t i = 0; i < t.n; i++) {
        sum[i] += (uint16_t)t.enters[i] - (uint16_t)t.leaves[i];
        t.leaves[i] = t.enters[i];
    }
    if (t.out)
        box_store(t.out, sum, (float)p->scale, p->out_dtype, t.n);
}

/* From one line of the ring, of outputs, to the next. */
FC_INLINE ptrdiff_t box_pitch(const struct fc_filter2d *p)
{
    return odd_lines(p->block_cols * p->c + BOX_STEP);
}

FC_SMALL size_t filter_box_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, BOX_STEP);
    return taken(pitch, sizeof(uint8_t)) + taken(p->kh * box_pitch(p), sizeof(int16_t)) +
           taken(pitch, sizeof(int16_t)) + taken(pitch, sizeof(int32_t));
}

static void filter_box(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t pitch = filter_pitch(p, BOX_STEP);
    const int narrow = p->out_dtype == FC_UINT8 && p->scale > 1 && p->scale <= BOX_AREA;
    const struct box_divisor divisor = box_divisor(narrow ? (int)p->scale : 1);
    char *area = scratch;
    uint8_t *const line = take(&area, pitch, sizeof *line);
    int16_t *const ring = take(&area, p->kh * box_pitch(p), sizeof *ring);
    int16_t *const along = take(&area, pitch, sizeof *along);
    void *const sum = take(&area, pitch, sizeof(int32_t));

    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = fc_filter_block(p, unit);
        const struct filter_ends whole = fc_filter_ends(p, &b, FILTER_NOWHERE);
        const ptrdiff_t n = b.cols * p->c;
        memset(ring, 0, (size_t)(p->kh * box_pitch(p)) * sizeof *ring);
        memset(sum, 0, (size_t)pitch * sizeof(int32_t));
        for (ptrdiff_t i = 0; i < pitch && divisor.add; i++)
            ((int16_t *)sum)[i] = (int16_t)divisor.add;
        for (ptrdiff_t s = b.y0; s < b.y1 + p->kh - 1; s++) {
            const ptrdiff_t y = s - (p->kh - 1), at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            const ptrdiff_t size = (ptrdiff_t)dtype_size(p->out_dtype);
            const struct box_lines lines = {ring + s % p->kh * box_pitch(p), along, n,
                                            y < b.y0 ? NULL : (char *)p->out + at * size};
            filter_fetch(p, line, &whole, s - p->top);
            box_along(along, line, p->kw, p->c, n);
            if (narrow)
                box_down_narrow(&lines, sum, divisor);
            else
                box_down(&lines, sum, p);
        }
    }
}
