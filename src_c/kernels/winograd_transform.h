/* The transforms of Winograd's F(4x4, 3x3), one axis at a time: 6 products for 4 outputs of 3 weights
 * (Lavin and Gray, arXiv:1509.09308).
 *
 * With the interpolation points 0, +-11/16, +-3/2 and infinity, all exact in binary, and sums of few
 * channels at a time, the rounding error is about that of a plain float32 sum; the customary points
 * 0, +-1, +-2 lose two bits (on points and sums: Barabasz et al., arXiv:1803.10986). */

#define WINOGRAD_A ((real)0.6875)
#define WINOGRAD_B ((real)1.5)
#define WINOGRAD_POINTS 36

/* G: the polynomial of three weights at each point, divided by the point's differences to the
 * others; for a tile of output channels side by side, in double. From one weight to the next `step`
 * rows of channels, from one result to the next `to`. */
FC_INLINE void winograd_weight_6(double (*w)[LANES], const int step,
                                 double (*u)[LANES], const int to)
{
    const double a = WINOGRAD_A, b = WINOGRAD_B, a2 = a * a, b2 = b * b;
    const double at_0 = 1 / (a2 * b2);
    const double at_a = 1 / (2 * a2 * (a2 - b2)), at_b = 1 / (2 * b2 * (b2 - a2));
    for (int m = 0; m < LANES; m++) {
        const double low = w[0][m], middle = w[step][m], high = w[2 * step][m];
        u[0][m] = at_0 * low;
        u[to][m] = at_a * (low + a2 * high + a * middle);
        u[2 * to][m] = at_a * (low + a2 * high - a * middle);
        u[3 * to][m] = at_b * (low + b2 * high + b * middle);
        u[4 * to][m] = at_b * (low + b2 * high - b * middle);
        u[5 * to][m] = high;
    }
}

/* B^T: six elements of a patch into six, in place; from one to the next `step` vectors. */
FC_INLINE void winograd_input_6(vec *d, const int step)
{
    const real a2 = WINOGRAD_A * WINOGRAD_A, b2 = WINOGRAD_B * WINOGRAD_B;
    const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vec minus_a2 = v_set1(-a2), minus_b2 = v_set1(-b2);
    const vec product = v_set1(a2 * b2), minus_sum = v_set1(-(a2 + b2));
    const vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const vec d5 = d[5 * step];
    const vec even_a = v_fma(minus_b2, d2, d4), odd_a = v_fma(minus_b2, d1, d3);
    const vec even_b = v_fma(minus_a2, d2, d4), odd_b = v_fma(minus_a2, d1, d3);
    d[0] = v_fma(product, d0, v_fma(minus_sum, d2, d4));
    d[step] = v_fma(a, odd_a, even_a);
    d[2 * step] = v_fma(v_set1(-WINOGRAD_A), odd_a, even_a);
    d[3 * step] = v_fma(b, odd_b, even_b);
    d[4 * step] = v_fma(v_set1(-WINOGRAD_B), odd_b, even_b);
    d[5 * step] = v_fma(product, d1, v_fma(minus_sum, d3, d5));
}

/* A^T: six products into four outputs. */
FC_INLINE void winograd_output_4(const vec *m, const int step, vec *y, const int to)
{
    const vec a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vec a2 = v_mul(a, a), b2 = v_mul(b, b);
    const vec sum_a = v_add(m[step], m[2 * step]), difference_a = v_sub(m[step], m[2 * step]);
    const vec sum_b = v_add(m[3 * step], m[4 * step]), difference_b = v_sub(m[3 * step], m[4 * step]);
    y[0] = v_add(m[0], v_add(sum_a, sum_b));
    y[to] = v_fma(a, difference_a, v_mul(b, difference_b));
    y[2 * to] = v_fma(a2, sum_a, v_mul(b2, sum_b));
    y[3 * to] = v_fma(v_mul(a2, a), difference_a, v_fma(v_mul(b2, b), difference_b, m[5 * step]));
}
