/* Medians of 3x3 and 5x5 pixels by networks of comparisons, as many pixels at a time as a vector holds.
 *
 * Columns are sorted first: those of 5 pixels once for all windows that share them, into a line for
 * each rank. Of sorted columns the window's rows are then sorted, and of the numbers that may still be
 * the middle one, those with at most 12 others certainly above and at most 12 certainly below, the
 * smallest and the largest are put aside until the median is left. Results that nobody takes cost
 * nothing: the compiler drops them. */

#define MEDIAN_LARGEST 5

/* Where a NaN may be, what it is compared with becomes one. */
FC_INLINE void median_order(vec *low, vec *high, const int numbers)
{
    const vec a = *low, b = *high;
    *low = numbers ? v_smaller(a, b) : v_min(a, b);
    *high = numbers ? v_larger(a, b) : v_max(a, b);
}

FC_INLINE void median_sort(vec *v, const int k, const int step, const int numbers)
{
    static const signed char five[][2] = {{0, 1}, {3, 4}, {2, 4}, {2, 3}, {1, 4},
                                          {0, 3}, {0, 2}, {1, 3}, {1, 2}};
    if (k == 3) {
        median_order(v, v + step, numbers);
        median_order(v + step, v + 2 * step, numbers);
        median_order(v, v + step, numbers);
    } else {
        FC_UNROLL for (int i = 0; i < 9; i++)
            median_order(v + five[i][0] * step, v + five[i][1] * step, numbers);
    }
}

/* The middle one of an odd number n of vectors, of which it makes use. */
FC_INLINE vec median_of(vec *v, const int n, const int numbers)
{
    /* Of n / 2 + 2 of them neither the smallest nor the largest is the middle one. Their places are
     * taken by the next, until three are left. */
    int next = n / 2 + 2;
    FC_UNROLL for (int last = n / 2 + 1; last >= 2; last--) {
        FC_UNROLL for (int i = 0; i < (last + 1) / 2; i++)
            median_order(v + i, v + last - i, numbers);
        FC_UNROLL for (int i = 1; i <= last / 2; i++)
            median_order(v, v + i, numbers);
        FC_UNROLL for (int i = (last + 1) / 2; i < last; i++)
            median_order(v + i, v + last, numbers);
        if (last > 2)
            v[0] = v[next++];
    }
    return v[1];
}

/* The median of a window of k x k, of 5 x 5 with columns sorted: row[r] is the line of their r-th
 * smallest. */
FC_INLINE vec median_window(const real *const *row, ptrdiff_t x, ptrdiff_t c, const int k,
                            const int numbers)
{
    vec v[MEDIAN_LARGEST * MEDIAN_LARGEST], left[MEDIAN_LARGEST * MEDIAN_LARGEST];
    int count = 0;
    FC_UNROLL for (int r = 0; r < k; r++)
        FC_UNROLL for (int s = 0; s < k; s++)
            v[r * k + s] = v_load(row[r] + x + s * c);
    FC_UNROLL for (int s = 0; s < k && k == 3; s++)
        median_sort(v + s, k, k, numbers);
    FC_UNROLL for (int r = 0; r < k; r++)
        median_sort(v + r * k, k, 1, numbers);
    /* Rows and columns are sorted now: (r + 1) * (s + 1) numbers are no larger, (k - r) * (k - s) no
     * smaller. */
    FC_UNROLL for (int r = 0; r < k; r++)
        FC_UNROLL for (int s = 0; s < k; s++)
            if ((r + 1) * (s + 1) <= k * k / 2 + 1 && (k - r) * (k - s) <= k * k / 2 + 1)
                left[count++] = v[r * k + s];
    return median_of(left, k == 3 ? 3 : 13, numbers);
}

/* The first `direct` of n medians go to out, the others to line. */
struct median_place {
    real *out, *line;
    ptrdiff_t direct, n;
};

FC_INLINE void median_row(const struct median_place *to, const real *const *row, real *const *rank,
                          ptrdiff_t c, const int k, const int numbers)
{
    const struct median_place t = *to;
    for (ptrdiff_t i = 0; i < t.n + (k - 1) * c && k > 3; i += LANES) {
        vec v[MEDIAN_LARGEST];
        FC_UNROLL for (int r = 0; r < k; r++)
            v[r] = v_load(row[r] + i);
        median_sort(v, k, 1, numbers);
        FC_UNROLL for (int r = 0; r < k; r++)
            v_store(rank[r] + i, v[r]);
    }
    for (ptrdiff_t i = 0; i < t.n; i += LANES)
        v_store(i < t.direct ? t.out + i : t.line + i - t.direct,
                median_window(k > 3 ? (const real *const *)rank : row, i, c, k, numbers));
}

static void median_rows(const struct median_place *to, const real *const *row, real *const *rank,
                        ptrdiff_t c, ptrdiff_t k, int numbers)
{
    if (FC_BITS != 8 && !numbers)
        k == 3 ? median_row(to, row, rank, c, 3, 0) : median_row(to, row, rank, c, 5, 0);
    else
        k == 3 ? median_row(to, row, rank, c, 3, 1) : median_row(to, row, rank, c, 5, 1);
}

/* A ring of k lines, k sorted ones, one on its way out. */
static size_t filter_median_scratch(const void *params)
{
    const struct fc_filter2d *const p = params;
    return taken((2 * p->kh + 1) * window_line_pitch(p), sizeof(real));
}

static void filter_median(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch)
{
    const struct fc_filter2d *const p = params;
    const ptrdiff_t k = p->kh, pitch = window_line_pitch(p);
    char *area = scratch;
    real *const ring = take(&area, (2 * k + 1) * pitch, sizeof(real)), *const line = ring + 2 * k * pitch;
    for (ptrdiff_t unit = begin; unit < end; unit++) {
        const struct filter_block b = filter_block(p, unit);
        const ptrdiff_t n = b.cols * p->c, source = (b.cols + k - 1) * p->c;
        real *row[MEDIAN_LARGEST], *rank[MEDIAN_LARGEST];
        ptrdiff_t wild = -1; /* the last source row with what may not be a number */
        for (ptrdiff_t i = 0; i < k; i++) {
            row[i] = ring + i * pitch;
            rank[i] = ring + (k + i) * pitch;
        }
        for (ptrdiff_t s = b.y0; s < b.y1 + k - 1; s++) {
            const ptrdiff_t y = s - (k - 1), at = ((b.plane * p->oh + y) * p->ow + b.x0) * p->c;
            real *const oldest = row[0];
            for (ptrdiff_t i = 0; i + 1 < k; i++)
                row[i] = row[i + 1];
            row[k - 1] = oldest;
            filter_fetch(p, oldest, &b, s - p->top);
            if (window_wild(p, oldest, source))
                wild = s;
            if (y < b.y0)
                continue;
            char *const out = (char *)p->out + at * (ptrdiff_t)dtype_size(p->out_dtype);
            const ptrdiff_t direct = p->out_dtype == REAL_DTYPE ? n - n % LANES : 0;
            const struct median_place to = {(real *)out, line, direct, n};
            median_rows(&to, (const real *const *)row, rank, p->c, k, wild < y);
            store_from_real(out + direct * (ptrdiff_t)dtype_size(p->out_dtype), line, p->out_dtype,
                            n - direct);
        }
    }
}
