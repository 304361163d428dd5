/* The channels of a convolution's input where they are those of several slices (fastconv.h). */

/* Some of them, of one slice, as far apart as input_steps() says; x is NULL where the slice lies
 * outside, in a border of zeros. */
struct slice_channels {
    const real *x;
    ptrdiff_t count;
};

/* Of those that output slice n of a group sees, the first ones of [c, end). */
FC_INLINE struct slice_channels slice_channels(const struct fc_conv2d *p, ptrdiff_t n, ptrdiff_t g,
                                               ptrdiff_t c, ptrdiff_t end)
{
    const struct steps from = input_steps(p);
    if (p->kd == 1 && p->d == 1 && p->od == 1 && p->front == 0) { /* without a division */
        const struct slice_channels all = {
            (const real *)p->x + n * from.sample + g * from.group + c * from.channel, end - c};
        return all;
    }
    const ptrdiff_t each = p->c / p->kd, first = c % each;
    const ptrdiff_t z = border_index(
        n % p->od * p->stride_d - p->front + c / each * p->dilation_d, p->d, p->border_d);
    const struct slice_channels in = {
        z < 0 ? NULL
              : (const real *)p->x + n / p->od * from.sample + g * from.group +
                    first * from.channel + z * from.slice,
        FC_MIN(end - c, each - first),
    };
    return in;
}

/* Is every slice a sample, and none of them outside? */
FC_INLINE int slices_are_samples(const struct fc_conv2d *p)
{
    return p->kd == 1 && p->front == 0 && (p->od - 1) * p->stride_d < p->d;
}
