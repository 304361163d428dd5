/* Small sums that every kernel needs. */

FC_INLINE ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }

/* At least n elements, in an odd number of 64-byte lines: rows or planes that far apart never pile
 * up in a few cache sets, as powers of two do. */
FC_INLINE ptrdiff_t odd_lines(ptrdiff_t n)
{
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(real);
    return (ceil_div(n, line) | 1) * line;
}

/* The bytes that take() takes. */
FC_INLINE size_t taken(ptrdiff_t count, size_t size) { return ((size_t)count * size + 63) / 64 * 64; }

/* Cut the next count elements of the given size off a scratch area; areas stay 64-byte aligned. */
FC_INLINE void *take(char **scratch, ptrdiff_t count, size_t size)
{
    char *const area = *scratch;
    *scratch = area + taken(count, size);
    return area;
}

/* Does x replace acc as the maximum? A NaN does. (v_max, for one element) */
FC_INLINE int exceeds(real x, real acc)
{
#if FC_BITS < 32 /* integers */
    return x > acc;
#else
    return x > acc || isnan(x);
#endif
}

/* The sum of n elements, a power of 2, by halves: in this order however many lanes there are. */
FC_INLINE real sum_by_halves(real *x, int n)
{
    FC_UNROLL for (n /= 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            x[i] += x[i + n];
    return x[0];
}

/* Elements from one sample, group, channel, slice, row, pixel of a convolution's images to the next:
 * of c channels per group and d x h x w pixels. */
struct steps {
    ptrdiff_t sample, group, channel, slice, row, pixel;
};

FC_INLINE struct steps steps(const struct fc_conv2d *p, ptrdiff_t c, ptrdiff_t d, ptrdiff_t h,
                             ptrdiff_t w)
{
    const ptrdiff_t all = p->groups * c;
    const struct steps nchw = {all * d * h * w, c * d * h * w, d * h * w, h * w, w, 1};
    const struct steps nhwc = {all * d * h * w, c, 1, all * h * w, all * w, all};
    return p->nhwc ? nhwc : nchw;
}

/* Of its input, and of its result. */
FC_INLINE struct steps input_steps(const struct fc_conv2d *p)
{
    return steps(p, p->c / p->kd, p->d, p->h, p->w);
}
FC_INLINE struct steps output_steps(const struct fc_conv2d *p)
{
    return steps(p, p->k, p->od, p->oh, p->ow);
}

/* Where slice n of the results of all samples begins. */
FC_INLINE ptrdiff_t output_slice(const struct fc_conv2d *p, const struct steps *to, ptrdiff_t n)
{
    return n / p->od * to->sample + n % p->od * to->slice;
}

#if FC_BITS != 16 /* its kernels need none of these */
/* Elements [i, i + LANES) of a row of n; zeros past its end. */
FC_INLINE vec load_up_to(const real *row, ptrdiff_t i, ptrdiff_t n)
{
    return n - i >= LANES ? v_load(row + i) : n - i > 0 ? v_load_n(row + i, n - i) : v_set1(0);
}

FC_INLINE void store_up_to(real *row, ptrdiff_t i, ptrdiff_t n, vec v)
{
    if (n - i >= LANES)
        v_store(row + i, v);
    else if (n - i > 0)
        v_store_n(row + i, v, n - i);
}

/* Elements [i, i + width) of such a row, as whole vectors; all of them zeros where there is no row. */
FC_INLINE void copy_up_to(real *dst, ptrdiff_t width, const real *row, ptrdiff_t i, ptrdiff_t n)
{
    for (ptrdiff_t v = 0; v < width; v += LANES)
        v_store(dst + v, load_up_to(row, i + v, row ? n : 0));
}

/* One phase of a line: dst[j] = src[j * step]. */
FC_INLINE void split_phase(real *dst, const real *src, ptrdiff_t count, const ptrdiff_t step)
{
    ptrdiff_t j = 0;
    if (step == 2)
        for (; j < count; j += LANES) {
            const ptrdiff_t seen = 2 * count - 1;
            const vec every = v_even(load_up_to(src, 2 * j, seen),
                                     load_up_to(src, 2 * j + LANES, seen));
            if (count - j >= LANES)
                v_store(dst + j, every);
            else
                v_store_n(dst + j, every, count - j);
        }
    for (; j < count; j++)
        dst[j] = src[j * step];
}
#endif
