/* Activations of whole vectors, of operations that are exact or rounded once: the bits are the same
 * on every instruction set and in the tails of rows.
 *
 * One reduction serves them all (Cody and Waite, Software Manual for the Elementary Functions,
 * 1980): exp(x) = 2**n * (1 + m) with n = round(x / log 2), m = expm1(r), r = x - n log 2. Its
 * argument is never positive, so nothing overflows, and 2**n is kept as 2**(n + EXP_SHIFT): what
 * underflows is scaled down by the last operation, and denormal results are rounded once too.
 *
 * Polynomials are minimax (Remez' algorithm, computed with 60 digits, then rounded). Largest errors
 * measured, in units in the last place, over the whole range (every 13th float32, 10**5 float64):
 *              sigmoid   tanh   silu   gelu
 *   float32      2.4      2.3    3.2    4.4
 *   float64      2.1      2.3    2.8    4.2
 */

#if FC_BITS == 32
#define ACTIVATION_ROUND 0x1.8p23f /* adding it leaves no bits for a fraction */
#define EXP_SHIFT 64
#define EXP_DOWN 0x1p-64f
#define EXP_MOST 110 /* exp(-110) * 110 is below half of the least number */
#define GELU_MOST 15 /* and so is 15 times the normal distribution beyond 15 */
#define LOG2_E 1.44269504f
#define LN2_HIGH 0.693147182f
#define LN2_LOW -1.90465421e-9f
/* (expm1(r) - r) / r**2 for |r| <= log(2) / 2; error 1.4e-9 */
static const real expm1_terms[] = {
    0.5f, 1.6666667e-1f, 4.1666463e-2f, 8.333286e-3f, 1.3933736e-3f, 1.9907704e-4f,
};
/* See normal_tail(); relative error 9.4e-10 */
#define TAIL_CENTRE 3
static const real tail_terms[] = {
    7.290837e-1f, -5.09332e-1f, 2.300177e-1f, -4.7262687e-2f, -1.0462513e-2f, 6.9693113e-3f,
    1.0247539e-3f, -1.0325732e-3f, -2.4472983e-4f, 1.3132984e-4f, 5.44888e-5f,
};
#else
#define ACTIVATION_ROUND 0x1.8p52
#define EXP_SHIFT 512
#define EXP_DOWN 0x1p-512
#define EXP_MOST 760
#define GELU_MOST 39
#define LOG2_E 1.4426950408889634
#define LN2_HIGH 0.6931471805599453
#define LN2_LOW 2.3190468138462996e-17
/* error 1.4e-18 */
static const real expm1_terms[] = {
    0.5, 0.1666666666666667, 0.041666666666666685, 0.008333333333326082, 0.0013888888888874294,
    0.0001984126987500567, 2.4801587347587177e-05, 2.7557255166245233e-06, 2.7557252673292366e-07,
    2.5105314116534945e-08, 2.092167017912071e-09,
};
/* relative error 2.0e-17 */
#define TAIL_CENTRE 4
static const real tail_terms[] = {
    0.7552851304157515, -0.6078966419718921, 0.3871374007422195, -0.18652185795966542,
    0.06039657489066628, -0.007540188966435209, -0.0034796923616069097, 0.0016308184532803382,
    0.00013334424852417726, -0.00023109490371940532, -1.9078439752792957e-06,
    3.514456968628505e-05, 7.149755293270372e-07, -5.920011312188721e-06, -6.252284530441043e-07,
    1.0218572989863025e-06, 2.641545875554446e-07, -1.5659221834574792e-07,
    -7.721046033103617e-08, 1.6069328172561177e-08, 1.4619051916925088e-08,
    -3.390661403232306e-10, -1.1965496567807116e-09,
};
#endif

FC_INLINE vec least_of(vec x, real most)
{
    return v_if_less(v_set1(most), x, v_set1(most), x); /* a NaN stays */
}

/* terms[0] + terms[1] * x + ... */
FC_INLINE vec polynomial(const real *terms, const int count, vec x)
{
    vec sum = v_set1(terms[count - 1]);
    FC_UNROLL for (int i = count - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set1(terms[i]));
    return sum;
}
#define POLYNOMIAL(terms, x) polynomial(terms, (int)(sizeof(terms) / sizeof *(terms)), x)

/* exp(-a) = scale * (1 + m) * EXP_DOWN */
struct exponential {
    vec scale, m;
};

/* exp(-(a + low)) for 0 <= a, |low| at most an ulp of a; of EXP_MOST for more, or for infinity. */
FC_INLINE struct exponential exp_of_minus(vec a, vec low)
{
    const vec x = v_sub(v_set1(0), least_of(a, EXP_MOST)), round = v_set1(ACTIVATION_ROUND);
    const vec n = v_sub(v_fma(x, v_set1(LOG2_E), round), round);
    /* The first step is exact: it leaves a multiple of 2**-25 (2**-54) below a half. */
    const vec high = v_fma(n, v_set1(-LN2_HIGH), x);
    const vec r = v_sub(v_fma(n, v_set1(-LN2_LOW), high), low);
    struct exponential e;
    e.m = v_fma(v_mul(r, r), POLYNOMIAL(expm1_terms, r), r);
    e.scale = v_pow2(v_add(n, v_set1(EXP_SHIFT)));
    return e;
}

/* times / (1 + exp(-x)); for negative x times * exp(x) / (1 + exp(x)). */
FC_INLINE vec sigmoid_times(vec x, vec times)
{
    const vec one = v_set1(1), down = v_set1(EXP_DOWN), zero = v_set1(0);
    const struct exponential e = exp_of_minus(v_abs(x), zero);
    const vec power = v_fma(e.scale, e.m, e.scale);
    const vec upper = v_mul(times, v_if_less(x, zero, power, one));
    return v_mul(v_div(upper, v_fma(power, down, one)), v_if_less(x, zero, down, one));
}

FC_INLINE vec sigmoid(vec x) { return sigmoid_times(x, v_set1(1)); }

/* From the bound on x * sigmoid(x) rounds to -0, its limit at minus infinity. */
FC_INLINE vec silu(vec x) { return sigmoid_times(x, v_max(v_set1(-EXP_MOST), x)); }

/* With t = exp(-2 |x|): (1 - t) / (1 + t), where t - 1 is taken as expm1, or 1 - 2t / (1 + t),
 * which is the more accurate below t = 1/4. From |x| = 20 on it is 1. */
FC_INLINE vec hyperbolic_tangent(vec x)
{
    const vec a = v_abs(x), one = v_set1(1), quarter = v_set1((real)0.25);
    const struct exponential e = exp_of_minus(least_of(v_add(a, a), 40), v_set1(0));
    const vec scale = v_mul(e.scale, v_set1(EXP_DOWN));
    const vec t = v_fma(scale, e.m, scale), m = v_fma(scale, e.m, v_sub(scale, one));
    const vec upper = v_if_less(t, quarter, v_add(t, t), m);
    const vec ratio = v_div(upper, v_add(one, t));
    return v_copysign(v_if_less(t, quarter, v_sub(one, ratio), ratio), x);
}

/* erfc(a / sqrt(2)) / 2 / EXP_DOWN, the normal distribution beyond a >= 0: exp(-a**2 / 2) times a
 * smooth function that falls like 1 / (a + c), as a polynomial in (a - c) / (a + c) divided by
 * a + c (after Shepherd and Laframboise, Math. Comp. 36 (1981), 249-253). What a**2 and 1 / (a + c)
 * lose in rounding is carried along as `low`. */
FC_INLINE vec normal_tail(vec a)
{
    const vec half = v_set1((real)0.5), one = v_set1(1), zero = v_set1(0);
    const vec centre = v_set1(TAIL_CENTRE), width = v_set1(-2 * TAIL_CENTRE);
    const vec square = v_mul(a, a), square_low = v_fma(a, a, v_sub(zero, square));
    const struct exponential e = exp_of_minus(v_mul(half, square), v_mul(half, square_low));
    const vec sum = v_add(a, centre), sum_low = v_sub(a, v_sub(sum, centre));
    const vec s = v_div(one, sum), minus_s = v_sub(zero, s);
    const vec s_low = v_mul(s, v_fma(minus_s, sum_low, v_fma(minus_s, sum, one)));
    const vec q = v_fma(width, s_low, v_fma(width, s, one)), f = POLYNOMIAL(tail_terms, q);
    return v_mul(v_fma(e.scale, e.m, e.scale), v_fma(f, s, v_mul(f, s_low)));
}

FC_INLINE vec gelu(vec x)
{
    const vec tail = normal_tail(least_of(v_abs(x), GELU_MOST)), down = v_set1(EXP_DOWN);
    const vec below = v_mul(v_mul(v_max(v_set1(-GELU_MOST), x), tail), down);
    const vec above = v_mul(x, v_sub(v_set1(1), v_mul(tail, down)));
    return v_if_less(x, v_set1(0), below, above);
}

FC_INLINE vec clip(vec x, vec low, real high) { return least_of(v_max(low, x), high); }

/* 0 below -3, x above 3; -3 stands for what is below it, so that minus infinity gives (minus) 0. */
FC_INLINE vec hard_swish(vec x)
{
    const vec part = v_div(clip(v_add(x, v_set1(3)), v_set1(0), 6), v_set1(6));
    return v_mul(v_max(v_set1(-3), x), part);
}

FC_INLINE vec leaky_relu(vec x, vec slope)
{
    const vec zero = v_set1(0);
    return v_if_less(zero, x, x, v_mul(slope, x));
}

/* The activations that tiles apply to their sums before they store them. */
FC_INLINE vec activate(vec v, int activation)
{
    return activation == FC_RELU ? v_max(v_set1(0), v) : v;
}
