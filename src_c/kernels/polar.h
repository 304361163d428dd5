/* The length and the direction of vectors (x, y), of operations that are exact or rounded once: the
 * bits are the same on every instruction set.
 *
 * Both follow from the ratio of the smaller component to the larger, which neither overflows nor
 * underflows where the length does not: sqrt(1 + ratio**2) times the larger, and the arc tangent of
 * the ratio, an odd polynomial, unfolded from an eighth of the circle. The polynomials are minimax
 * (Remez' algorithm, computed with 40 digits, then rounded). Largest errors measured, in units in
 * the last place, of 10**7 pairs:
 *              length   angle
 *   float32      2.0     1.8
 *   float64      2.0     1.9
 */

#if FC_BITS == 32
#define HALF_PI 1.57079637f
#define HALF_PI_LOW -4.37113883e-8f
/* (atan(r) / r - 1) / r**2 by r**2, for 0 <= r <= 1; relative error of atan(r) 1.7e-8 */
static const real atan_terms[] = {
    -3.3333153e-1f, 1.9993773e-1f, -1.4211057e-1f, 1.0666014e-1f, -7.552235e-2f, 4.321211e-2f,
    -1.636808e-2f, 2.9207298e-3f,
};
#else
#define HALF_PI 1.5707963267948966
#define HALF_PI_LOW 6.123233995736766e-17
/* relative error 2.9e-17 */
static const real atan_terms[] = {
    -0.3333333333333186, 0.1999999999975503, -0.1428571427133525, 0.1111111067875782,
    -0.09090901235497127, 0.07692212931318465, -0.06665860367183778, 0.05877307786315664,
    -0.05239233041598509, 0.04673949678361212, -0.040926382760235906, 0.034067810087667204,
    -0.02582679347706945, 0.016978030483661578, -0.009184553719664581, 0.00385597115560262,
    -0.0011640700825737507, 0.0002230219537986148, -2.025849935471963e-05,
};
#endif

/* A vector by its larger component and the ratio of the smaller to it, both without signs. */
struct polar {
    vec larger, ratio;
};

FC_INLINE struct polar polar_of(vec x, vec y)
{
    const vec most = v_set1(REAL_MOST), one = v_set1(1), zero = v_set1(0);
    const vec a = v_abs(x), b = v_abs(y), larger = v_max(a, b), smaller = v_min(a, b);
    /* Of two zeros 0 / 1, of two infinities 1 / 1; a NaN is both the larger and the smaller. */
    const vec below = v_if_less(most, smaller, one, v_if_less(zero, larger, larger, one));
    return (struct polar){larger, v_div(v_if_less(most, smaller, one, smaller), below)};
}

/* As hypot: infinite where either component is, be the other a NaN. */
FC_INLINE vec polar_length(struct polar p, vec x, vec y)
{
    const vec most = v_set1(REAL_MOST), infinity = v_set1((real)INFINITY);
    const vec length = v_mul(p.larger, v_sqrt(v_fma(p.ratio, p.ratio, v_set1(1))));
    return v_if_less(most, v_abs(x), infinity, v_if_less(most, v_abs(y), infinity, length));
}

/* As atan2(y, x), zeros without signs: more than -pi, and at most pi. */
FC_INLINE vec polar_angle(struct polar p, vec x, vec y)
{
    const vec zero = v_set1(0), high = v_set1(HALF_PI), low = v_set1(HALF_PI_LOW);
    const vec square = v_mul(p.ratio, p.ratio);
    vec a = v_fma(v_mul(p.ratio, square), POLYNOMIAL(atan_terms, square), p.ratio);
    a = v_if_less(v_abs(x), v_abs(y), v_add(v_sub(high, a), low), a);
    a = v_if_less(x, zero, v_add(v_sub(v_add(high, high), a), v_add(low, low)), a);
    return v_if_less(y, zero, v_sub(zero, a), a);
}
