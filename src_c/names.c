/* The names of algorithms, and of the sizes and options of the parameter structs. */
#include <stddef.h>

#include "fastconv.h"

const struct fc_algorithm_name fc_algorithm_names[] = {
#define NAME(id, name) {name},
    FC_ALGORITHMS(NAME)
#undef NAME
};

#define MEMBER(type, member)                                                                   \
    {#member,                                                                                  \
     _Generic(((struct type *)0)->member, int: FC_MEMBER_INT, double: FC_MEMBER_DOUBLE,        \
              default: FC_MEMBER_SIZE),                                                        \
     offsetof(struct type, member)}
#define CONV(member) MEMBER(fc_conv2d, member)
#define INTEGER(member) MEMBER(fc_conv_integer, member)
#define FILTER(member) MEMBER(fc_filter2d, member)
#define POOL(member) MEMBER(fc_pool, member)
#define AXIS(axis)                                                                             \
    POOL(axis.n), POOL(axis.k), POOL(axis.stride), POOL(axis.dilation), POOL(axis.before),     \
        POOL(axis.after), POOL(axis.o)

const struct fc_member fc_conv2d_members[] = {
    CONV(n), CONV(groups), CONV(c), CONV(k), CONV(h), CONV(w), CONV(oh), CONV(ow), CONV(kh), CONV(kw),
    CONV(stride_h), CONV(stride_w), CONV(dilation_h), CONV(dilation_w), CONV(top), CONV(left),
    CONV(d), CONV(od), CONV(kd), CONV(stride_d), CONV(dilation_d), CONV(front),
    CONV(block_rows), CONV(block_cols), CONV(block_c), CONV(block_k), CONV(parts),
    CONV(slope), CONV(low), CONV(high),
    CONV(border_d), CONV(border_h), CONV(border_w), CONV(activation), CONV(nhwc), CONV(stream),
    {"", 0, 0},
};

const struct fc_member fc_conv_integer_members[] = {
    INTEGER(flip), INTEGER(x_zero), INTEGER(weights_zero), INTEGER(planes), INTEGER(zero), INTEGER(result),
    {"", 0, 0},
};

const struct fc_member fc_filter2d_members[] = {
    FILTER(planes), FILTER(h), FILTER(w), FILTER(c), FILTER(m), FILTER(oh), FILTER(ow),
    FILTER(kh), FILTER(kw), FILTER(top), FILTER(left), FILTER(stride_h), FILTER(stride_w),
    FILTER(block_rows), FILTER(block_cols), FILTER(cval), FILTER(scale), FILTER(delta),
    FILTER(border_h), FILTER(border_w), FILTER(dtype), FILTER(out_dtype), FILTER(stream),
    FILTER(reduction), FILTER(rank), FILTER(kernel_rows), FILTER(span_rows), FILTER(block_c),
    FILTER(ksize),
    {"", 0, 0},
};

const struct fc_member fc_pool_members[] = {
    AXIS(d), AXIS(h), AXIS(w), POOL(planes), POOL(c), POOL(block_rows), POOL(block_cols), POOL(batch),
    POOL(divisor), POOL(norm), POOL(pooling), POOL(dtype), POOL(count_include_pad),
    POOL(accumulate), POOL(positive),
    {"", 0, 0},
};
