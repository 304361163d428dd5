/* The transforms of Winograd's convolution (Lavin and Gray, arXiv:1509.09308), one axis at a time. A
 * scheme is named by the side of its patch, which is its number of points along an axis:
 *   6: 6 products for 4 outputs of 3 weights;
 *   5: 5 products for 3 outputs of 3 weights;
 *   4: 4 products for 2 outputs of 3 weights;
 * with WINOGRAD_PHASES added, for the four phases of stride 2:
 *   5: 5 products for 4 outputs of 2 weights;
 * and with WINOGRAD_ROW added, for kernels of one row, which have one axis:
 *   6: 6 products for 4, 3 or 2 outputs of 3, 4 or 5 weights;
 *   8: 8 products for 6 to 2 outputs of 3 to 7 weights.
 *
 * With the interpolation points 0, +-11/16, +-3/2 and infinity, all exact in binary, and sums of few
 * channels at a time, the rounding error of 6 is about that of a plain float32 sum; the customary
 * points 0, +-1, +-2 lose two bits (on points and sums: Barabasz et al., arXiv:1803.10986). 4 has 0,
 * +-1 and infinity; 5 has +-1/2, +-5/4 and infinity, the best of ten choices for phases and within a
 * tenth of the best of 34 without (docs/performance.md); 8 has 0, +-1/2, +-1,
 * +-2 and infinity, whose powers are exact and which are near the best of 512 (docs/performance.md). */

#define WINOGRAD_SIDE 8 /* at most */
#define WINOGRAD_ROW 16
#define WINOGRAD_PHASES 32
/* X(what, name, scheme) of each. */
#define WINOGRAD_SCHEMES(X, what)                                                                  \
    X(what, 2x2, 4) X(what, 3x3, 5) X(what, 4x4, 6) X(what, stride_2, WINOGRAD_PHASES + 5)         \
        X(what, row_6, WINOGRAD_ROW + 6) X(what, row_8, WINOGRAD_ROW + 8)
/* Of functions that there are for each, the one of `scheme`. */
#define WINOGRAD_CHOICE(what, name, value) scheme == (value) ? what##_##name:
#define WINOGRAD_OF(what) (WINOGRAD_SCHEMES(WINOGRAD_CHOICE, what) NULL)

FC_INLINE int winograd_is_row(int scheme) { return (scheme & WINOGRAD_ROW) != 0; }
FC_INLINE int winograd_side(int scheme) { return scheme % WINOGRAD_ROW; }
/* The stride between what outputs see, the weights along an axis of a phase of a kernel of kw columns, and
 * the outputs along a tile's. */
FC_INLINE int winograd_stride(int scheme) { return scheme & WINOGRAD_PHASES ? 2 : 1; }
FC_INLINE int winograd_taps(int scheme, ptrdiff_t kw)
{
    return winograd_is_row(scheme) ? (int)kw : scheme & WINOGRAD_PHASES ? 2 : 3;
}
FC_INLINE int winograd_m(int scheme, ptrdiff_t kw)
{
    return winograd_side(scheme) + 1 - winograd_taps(scheme, kw);
}
/* Rows of a tile's outputs, and of its patch. */
FC_INLINE int winograd_m_rows(int scheme) { return winograd_is_row(scheme) ? 1 : winograd_m(scheme, 3); }
FC_INLINE int winograd_side_rows(int scheme) { return winograd_is_row(scheme) ? 1 : winograd_side(scheme); }

/* The two pairs of points of those that are larger than 4; the third one of 8 is +-2. */
FC_INLINE real winograd_a(const int side) { return side == 6 ? (real)0.6875 : (real)0.5; }
FC_INLINE real winograd_b(const int side) { return side == 6 ? (real)1.5 : side == 5 ? (real)1.25 : 1; }

/* G: the polynomial of `taps` weights, two or three, at each point, divided by the point's differences to
 * the others; for a tile of output channels side by side, in double. From one weight to the next `step`
 * rows of channels, from one result to the next `to`. */
FC_INLINE void winograd_weight(double (*w)[LANES], const int taps, const int step, double (*u)[LANES],
                               const int to, const int side)
{
    const double a = side == 4 ? 1 : winograd_a(side), b = winograd_b(side), a2 = a * a, b2 = b * b;
    const double at_0 = side == 4 ? 1 : 1 / (a2 * b2);
    const double at_a = side == 4 ? 0.5 : 1 / (2 * (side == 5 ? a : a2) * (a2 - b2));
    const double at_b = 1 / (2 * (side == 5 ? b : b2) * (b2 - a2));
    for (int i = 0; i < LANES; i++) {
        const double low = w[0][i], middle = w[step][i], high = taps == 3 ? w[2 * step][i] : 0;
        if (side == 5) {
            u[0][i] = at_a * (low + a2 * high + a * middle);
            u[to][i] = -at_a * (low + a2 * high - a * middle);
            u[2 * to][i] = at_b * (low + b2 * high + b * middle);
            u[3 * to][i] = -at_b * (low + b2 * high - b * middle);
            u[4 * to][i] = taps == 3 ? high : middle;
            continue;
        }
        u[0][i] = at_0 * low;
        u[to][i] = at_a * (low + a2 * high + a * middle);
        u[2 * to][i] = at_a * (low + a2 * high - a * middle);
        if (side == 6) {
            u[3 * to][i] = at_b * (low + b2 * high + b * middle);
            u[4 * to][i] = at_b * (low + b2 * high - b * middle);
        }
        u[(side - 1) * to][i] = high;
    }
}

/* G of a row of weights, 3 to 7 of them: u as above. */
FC_INLINE void winograd_weight_row(double (*w)[LANES], const int taps, double (*u)[LANES], const int side)
{
    const double a = winograd_a(side), b = winograd_b(side);
    const double points[WINOGRAD_SIDE - 1] = {0, a, -a, b, -b, 2, -2};
    for (int j = 0; j < side - 1; j++) {
        double differences = 1;
        for (int i = 0; i < side - 1; i++)
            differences *= i == j ? 1 : points[j] - points[i];
        for (int k = 0; k < LANES; k++) {
            double sum = 0;
            for (int tap = taps; tap-- > 0;)
                sum = sum * points[j] + w[tap][k];
            u[j][k] = sum / differences;
        }
    }
    memcpy(u[side - 1], w[taps - 1], sizeof *u);
}

/* B^T of 8, in place. */
FC_INLINE void winograd_input_8(vec *d)
{
    const vec quarter = v_set1((real)0.25);
    const vec even_1 = v_fma(v_set1((real)-4.25), d[4], v_add(d[2], d[6]));
    const vec odd_1 = v_fma(v_set1((real)-4.25), d[3], v_add(d[1], d[5]));
    const vec even_half = v_fma(v_set1(4), d[2], v_fma(v_set1(-5), d[4], d[6]));
    const vec odd_half = v_fma(v_set1(4), d[1], v_fma(v_set1(-5), d[3], d[5]));
    const vec even_2 = v_fma(quarter, d[2], v_fma(v_set1((real)-1.25), d[4], d[6]));
    const vec odd_2 = v_fma(quarter, d[1], v_fma(v_set1((real)-1.25), d[3], d[5]));
    d[0] = v_fma(v_set1((real)5.25), v_sub(d[2], d[4]), v_sub(d[6], d[0]));
    d[7] = v_fma(v_set1((real)5.25), v_sub(d[3], d[5]), v_sub(d[7], d[1]));
    d[1] = v_fma(v_set1((real)0.5), odd_half, even_half);
    d[2] = v_fma(v_set1((real)-0.5), odd_half, even_half);
    d[3] = v_add(even_1, odd_1);
    d[4] = v_sub(even_1, odd_1);
    d[5] = v_fma(v_set1(2), odd_2, even_2);
    d[6] = v_fma(v_set1(-2), odd_2, even_2);
}

/* All that follow turn a side's elements into m others, in place; of most m follows from the side.
 *
 * B^T: those of a patch into as many. */
FC_INLINE void winograd_input_side(vec *d, const int m, const int side)
{
    const real a = winograd_a(side), b = winograd_b(side), a2 = a * a, b2 = b * b;
    const vec minus_a2 = v_set1(-a2), minus_b2 = v_set1(-b2);
    const vec product = v_set1(a2 * b2), minus_sum = v_set1(-(a2 + b2));
    const vec d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    if (side == 8) {
        winograd_input_8(d);
    } else if (side == 4) {
        d[0] = v_sub(d0, d2);
        d[1] = v_add(d2, d1);
        d[2] = v_sub(d2, d1);
        d[3] = v_sub(d3, d1);
    } else if (side == 5) {
        const vec even_a = v_fma(minus_b2, d1, d3), odd_a = v_fma(minus_b2, d0, d2);
        const vec even_b = v_fma(minus_a2, d1, d3), odd_b = v_fma(minus_a2, d0, d2);
        const vec d4 = d[4];
        d[0] = v_fma(v_set1(a), odd_a, even_a);
        d[1] = v_fma(v_set1(-a), odd_a, even_a);
        d[2] = v_fma(v_set1(b), odd_b, even_b);
        d[3] = v_fma(v_set1(-b), odd_b, even_b);
        d[4] = v_fma(product, d0, v_fma(minus_sum, d2, d4));
    } else {
        const vec d4 = d[4], d5 = d[5];
        const vec even_a = v_fma(minus_b2, d2, d4), odd_a = v_fma(minus_b2, d1, d3);
        const vec even_b = v_fma(minus_a2, d2, d4), odd_b = v_fma(minus_a2, d1, d3);
        d[0] = v_fma(product, d0, v_fma(minus_sum, d2, d4));
        d[1] = v_fma(v_set1(a), odd_a, even_a);
        d[2] = v_fma(v_set1(-a), odd_a, even_a);
        d[3] = v_fma(v_set1(b), odd_b, even_b);
        d[4] = v_fma(v_set1(-b), odd_b, even_b);
        d[5] = v_fma(product, d1, v_fma(minus_sum, d3, d5));
    }
}

/* A^T: products into outputs. Output j sums the j-th powers of the points: of a
 * pair of them the sum of its products, or their difference. Point 0, which 5 has not, counts in the
 * first output alone, infinity in the last. */
FC_INLINE void winograd_output_side(vec *y, const int m, const int side)
{
    const real a = side == 4 ? 1 : winograd_a(side), b = winograd_b(side);
    const vec points[3] = {v_set1(a), v_set1(b), v_set1(2)}, last = y[side - 1], first = y[0];
    const int from = side != 5, pairs = (side - 1) / 2;
    vec sum[3], difference[3], power[3];
    FC_UNROLL for (int i = 0; i < pairs; i++) {
        sum[i] = v_add(y[from + 2 * i], y[from + 2 * i + 1]);
        difference[i] = v_sub(y[from + 2 * i], y[from + 2 * i + 1]);
        power[i] = v_set1(1);
    }
    FC_UNROLL for (int j = 0; j < side - 1; j++) {
        const vec *const of_pair = j % 2 ? difference : sum;
        if (j == m)
            break;
        y[j] = j == m - 1 ? v_fma(power[pairs - 1], of_pair[pairs - 1], last)
                          : v_mul(power[pairs - 1], of_pair[pairs - 1]);
        FC_UNROLL for (int i = pairs - 2; i >= 0; i--)
            y[j] = v_fma(power[i], of_pair[i], y[j]);
        if (j == 0 && from)
            y[j] = v_add(first, y[j]);
        FC_UNROLL for (int i = 0; i < pairs; i++)
            power[i] = v_mul(power[i], points[i]);
    }
}

/* A: gradients by a tile's outputs into those by its products; for 6 alone, as what follows. */
FC_INLINE void winograd_dy_side(vec *d, const int m, const int side)
{
    const vec a = v_set1(winograd_a(side)), b = v_set1(winograd_b(side));
    const vec a2 = v_mul(a, a), b2 = v_mul(b, b), last = d[3];
    const vec even_a = v_fma(a2, d[2], d[0]), odd_a = v_mul(a, v_fma(a2, last, d[1]));
    const vec even_b = v_fma(b2, d[2], d[0]), odd_b = v_mul(b, v_fma(b2, last, d[1]));
    d[1] = v_add(even_a, odd_a);
    d[2] = v_sub(even_a, odd_a);
    d[3] = v_add(even_b, odd_b);
    d[4] = v_sub(even_b, odd_b);
    d[5] = last;
}

/* G^T: gradients by transformed weights into those by the weights. */
FC_INLINE void winograd_weight_side(vec *d, const int m, const int side)
{
    const double a = winograd_a(side), b = winograd_b(side), a2 = a * a, b2 = b * b;
    const vec at_0 = v_set1((real)(1 / (a2 * b2)));
    const vec at_a = v_set1((real)(1 / (2 * a2 * (a2 - b2))));
    const vec at_b = v_set1((real)(1 / (2 * b2 * (b2 - a2))));
    const vec sum_a = v_mul(at_a, v_add(d[1], d[2])), sum_b = v_mul(at_b, v_add(d[3], d[4]));
    const vec odd_a = v_mul(at_a, v_sub(d[1], d[2])), odd_b = v_mul(at_b, v_sub(d[3], d[4]));
    d[0] = v_fma(at_0, d[0], v_add(sum_a, sum_b));
    d[1] = v_fma(v_set1((real)a), odd_a, v_mul(v_set1((real)b), odd_b));
    d[2] = v_fma(v_set1((real)a2), sum_a, v_fma(v_set1((real)b2), sum_b, d[5]));
}

/* Both axes of a square tile go through one of these: first its columns, n elements each, into m
 * rows of n in `half`, */
typedef void winograd_transform(vec *d, const int m, const int side);

/* Do both axes' elements stay in registers, if the loops over them are unrolled? */
FC_INLINE int winograd_stays(const int side) { return side * side < VEC_REGS - 4; }

FC_INLINE void winograd_column(winograd_transform *transform, const real *tile, ptrdiff_t row, const int n,
                               const int m, real *half, const int side)
{
    vec d[WINOGRAD_SIDE];
    FC_UNROLL for (int i = 0; i < n; i++)
        d[i] = v_load(tile + i * row);
    transform(d, m, side);
    FC_UNROLL for (int i = 0; i < m; i++)
        v_store(half + i * n * LANES, d[i]);
}

FC_INLINE void winograd_columns(winograd_transform *transform, const real *tile, ptrdiff_t row,
                                ptrdiff_t col, const int n, const int m, real *half,
                                const int side)
{
    if (winograd_stays(side))
        FC_UNROLL for (int j = 0; j < n; j++)
            winograd_column(transform, tile + j * col, row, n, m, half + j * LANES, side);
    else
        for (int j = 0; j < n; j++)
            winograd_column(transform, tile + j * col, row, n, m, half + j * LANES, side);
}

/* then each of those rows, which stays in registers: n elements, `col` apart. */
FC_INLINE void winograd_load(const real *row, ptrdiff_t col, const int n, vec *d)
{
    FC_UNROLL for (int j = 0; j < n; j++)
        d[j] = v_load(row + j * col);
}
