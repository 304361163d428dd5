/* The transforms of Winograd's F(4x4, 3x3) and F(2x2, 3x3), one axis at a time: 6 products for 4
 * outputs of 3 weights, or 4 for 2 (Lavin and Gray, arXiv:1509.09308).
 *
 * With the interpolation points 0, +-11/16, +-3/2 and infinity, all exact in binary, and sums of few
 * channels at a time, the rounding error of the larger one is about that of a plain float32 sum; the
 * customary points 0, +-1, +-2 lose two bits (on points and sums: Barabasz et al.,
 * arXiv:1803.10986). The smaller one has 0, +-1 and infinity. */

#define WINOGRAD_A ((real)0.6875)
#define WINOGRAD_B ((real)1.5)
#define WINOGRAD_SIDE 6 /* the most inputs of a tile's side, and points */

/* G: the polynomial of three weights at each point, divided by the point's differences to the
 * others; for a tile of output channels side by side, in double. From one weight to the next `step`
 * rows of channels, from one result to the next `to`. */
FC_INLINE void winograd_weight(double (*w)[LANES], const int step, double (*u)[LANES], const int to,
                               const int m)
{
    const double a = m == 4 ? WINOGRAD_A : 1, b = WINOGRAD_B, a2 = a * a, b2 = b * b;
    const double at_0 = m == 4 ? 1 / (a2 * b2) : 1;
    const double at_a = m == 4 ? 1 / (2 * a2 * (a2 - b2)) : 0.5, at_b = 1 / (2 * b2 * (b2 - a2));
    for (int i = 0; i < LANES; i++) {
        const double low = w[0][i], middle = w[step][i], high = w[2 * step][i];
        u[0][i] = at_0 * low;
        u[to][i] = at_a * (low + a2 * high + a * middle);
        u[2 * to][i] = at_a * (low + a2 * high - a * middle);
        if (m == 4) {
            u[3 * to][i] = at_b * (low + b2 * high + b * middle);
            u[4 * to][i] = at_b * (low + b2 * high - b * middle);
        }
        u[(m + 1) * to][i] = high;
    }
}

/* B^T: m + 2 elements of a patch into as many, in place. */
FC_INLINE void winograd_input_side(vec *d, const int m)
{
    const real a2 = WINOGRAD_A * WINOGRAD_A, b2 = WINOGRAD_B * WINOGRAD_B;
    const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vec minus_a2 = v_set1(-a2), minus_b2 = v_set1(-b2);
    const vec product = v_set1(a2 * b2), minus_sum = v_set1(-(a2 + b2));
    const vec d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    if (m == 4) {
        const vec d4 = d[4], d5 = d[5];
        const vec even_a = v_fma(minus_b2, d2, d4), odd_a = v_fma(minus_b2, d1, d3);
        const vec even_b = v_fma(minus_a2, d2, d4), odd_b = v_fma(minus_a2, d1, d3);
        d[0] = v_fma(product, d0, v_fma(minus_sum, d2, d4));
        d[1] = v_fma(a, odd_a, even_a);
        d[2] = v_fma(v_set1(-WINOGRAD_A), odd_a, even_a);
        d[3] = v_fma(b, odd_b, even_b);
        d[4] = v_fma(v_set1(-WINOGRAD_B), odd_b, even_b);
        d[5] = v_fma(product, d1, v_fma(minus_sum, d3, d5));
    } else {
        d[0] = v_sub(d0, d2);
        d[1] = v_add(d2, d1);
        d[2] = v_sub(d2, d1);
        d[3] = v_sub(d3, d1);
    }
}

/* A^T: m + 2 products into m outputs, in place. */
FC_INLINE void winograd_output_side(vec *y, const int m)
{
    const vec sum_a = v_add(y[1], y[2]), difference_a = v_sub(y[1], y[2]);
    if (m == 4) {
        const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
        const vec a2 = v_mul(a, a), b2 = v_mul(b, b);
        const vec sum_b = v_add(y[3], y[4]), difference_b = v_sub(y[3], y[4]);
        y[0] = v_add(y[0], v_add(sum_a, sum_b));
        y[1] = v_fma(a, difference_a, v_mul(b, difference_b));
        y[2] = v_fma(a2, sum_a, v_mul(b2, sum_b));
        y[3] = v_fma(v_mul(a2, a), difference_a, v_fma(v_mul(b2, b), difference_b, y[5]));
    } else {
        y[0] = v_add(y[0], sum_a);
        y[1] = v_add(difference_a, y[3]);
    }
}
