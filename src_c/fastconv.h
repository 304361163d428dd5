/* What the world above sees of the C core: parameters in, the algorithms of each variant.
 *
 * A kernel is void, never allocates, never fails and checks nothing: geometry and plan have. It
 * computes the work units [begin, end) of a call with a scratch area of its own. A unit writes
 * outputs that no other unit writes, so any split over threads gives the same bits. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

/* Integers first. */
enum fc_dtype { FC_UINT8, FC_UINT16, FC_INT16, FC_FLOAT16, FC_FLOAT32, FC_FLOAT64 };
enum fc_border { FC_CONSTANT, FC_EDGE, FC_REFLECT, FC_SYMMETRIC, FC_WRAP };
enum fc_activation {
    FC_LINEAR, FC_RELU, FC_LEAKY_RELU, FC_CLIP, FC_HARD_SWISH, FC_SIGMOID, FC_TANH, FC_SILU, FC_GELU
};
enum fc_pooling { FC_MAX_POOL, FC_MIN_POOL, FC_SUM_POOL };
enum fc_reduction { FC_SUM, FC_MAXIMUM, FC_MINIMUM };

/* By their names in Python. */
#define FC_ALGORITHMS(X)                                       \
    X(FC_FILTER_FOOTPRINT, "filter_footprint")                 \
    X(FC_FILTER_MEDIAN, "filter_median")                       \
    X(FC_FILTER_NETWORK, "filter_network")                     \
    X(FC_FILTER_SLIDE, "filter_slide")                         \
    X(FC_FILTER_WINDOW, "filter_window")                       \
    X(FC_FILTER_RANK, "filter_rank")                           \
    X(FC_POOL, "pool")                                         \
    X(FC_POOL_GLOBAL, "pool_global")                           \
    X(FC_POOL_ARGMAX, "pool_argmax")                           \
    X(FC_POOL_MEDIAN, "pool_median")                           \
    X(FC_POOL_SCATTER, "pool_scatter")                         \
    X(FC_FILTER_INTEGER, "filter_integer")                     \
    X(FC_FILTER_INTEGER_SEPARABLE, "filter_integer_separable") \
    X(FC_FILTER_BOX, "filter_box")                             \
    X(FC_CONV_INTEGER, "integer")                              \
    X(FC_CONV_INTEGER_VNNI, "integer_vnni")                    \
    X(FC_CONV_INTEGER_PIXEL, "integer_pixel")                  \
    X(FC_CONV_INTEGER_PLANE, "integer_plane")                  \
    X(FC_CONV_DIRECT_PIXEL, "direct_pixel")                    \
    X(FC_CONV_DIRECT_CHANNEL, "direct_channel")                \
    X(FC_CONV_DEPTHWISE, "depthwise")                          \
    X(FC_CONV_DEPTHWISE_PLANE, "depthwise_plane")              \
    X(FC_CONV_DEPTHWISE_ROWS, "depthwise_rows")                \
    X(FC_CONV_WINOGRAD_4X4, "winograd_4x4")                    \
    X(FC_CONV_WINOGRAD_3X3, "winograd_3x3")                    \
    X(FC_CONV_WINOGRAD_2X2, "winograd_2x2")                    \
    X(FC_CONV_WINOGRAD_STRIDE_2, "winograd_stride_2")          \
    X(FC_CONV_WINOGRAD_ROW_6, "winograd_row_6")                \
    X(FC_CONV_WINOGRAD_ROW_8, "winograd_row_8")                \
    X(FC_CONV_WEIGHT_GRAD, "weight_grad")                      \
    X(FC_CONV_WEIGHT_GRAD_GROUPS, "weight_grad_groups")        \
    X(FC_CONV_WEIGHT_GRAD_PLANES, "weight_grad_planes")        \
    X(FC_CONV_WINOGRAD_WEIGHT_GRAD, "winograd_weight_grad")    \
    X(FC_CONV_BIAS_GRAD, "bias_grad")                          \
    X(FC_CONV_FOLD, "fold")                                    \
    X(FC_FILTER2D, "filter2d")                                 \
    X(FC_FILTER_ROLLING, "filter_rolling")                     \
    X(FC_FILTER_SEPARABLE, "filter_separable")                 \
    X(FC_FILTER_WINOGRAD, "filter_winograd")                   \
    X(FC_FILTER_RECURSIVE, "filter_recursive")                 \
    X(FC_FILTER_GRADIENT, "filter_gradient")                   \
    X(FC_FILTER_HARRIS, "filter_harris")                       \
    X(FC_FILTER_SHI_TOMASI, "filter_shi_tomasi")               \
    X(FC_FILTER_MOMENTS, "filter_moments")                     \
    X(FC_POOL_MAX_GRAD, "pool_max_grad")                       \
    X(FC_POOL_SPREAD, "pool_spread")                           \
    X(FC_FMA_PEAK, "fma_peak")
enum fc_algorithm_id {
#define FC_ALGORITHM(id, name) id,
    FC_ALGORITHMS(FC_ALGORITHM)
#undef FC_ALGORITHM
    FC_ALGORITHM_COUNT
};
extern const struct fc_algorithm_name {
    char text[32];
} fc_algorithm_names[];

/* Sizes count elements. Channels c and k are per group. A block is what one unit covers.
 *
 * Convolution in three dimensions is one in two: each of the od slices of a result is a sample (n
 * counts those of all samples), and what it sees of kd slices are channels: c / kd channels of the
 * first slice, then those of the next one. In two dimensions d = od = kd = stride_d = 1. */
struct fc_conv2d {
    const void *x, *weight, *bias; /* weight as `pack` left it; bias may be NULL */
    const void *residual;          /* like out, added before the activation; may be NULL */
    const void *dy;                /* of a gradient by weights or bias, which goes to out */
    void *out;
    ptrdiff_t n, groups, c, k, h, w, oh, ow, kh, kw;
    ptrdiff_t stride_h, stride_w, dilation_h, dilation_w, top, left;
    ptrdiff_t d, od, kd, stride_d, dilation_d, front;
    ptrdiff_t block_rows, block_cols, block_c, block_k;
    ptrdiff_t parts; /* partial sums of a gradient by weights */
    double slope, low, high; /* of FC_LEAKY_RELU; of FC_CLIP */
    int border_d, border_h, border_w, activation;
    int nhwc;   /* the layout: (n, h, w, c) and not (n, c, h, w) */
    int stream; /* the result is larger than the caches: write past them where it is aligned */
};

/* FC_CONV_INTEGER and FC_CONV_INTEGER_VNNI: bytes to sums, of x - x's zero point and w - w's.
 *
 * Weights are packed as conv_integer.py does, with a sign, and conv.bias is rows of int32, of a
 * multiple of FC_INTEGER_CHANNELS for every group: what is added to a sum, the weights' zero point,
 * the bits of a float to multiply with, and for each tap row what it sums up to on padding. */
enum { FC_INTEGER_CHANNELS = 32 };
enum fc_sum_result { FC_SUM_AS_IT_IS, FC_SUM_TO_FLOAT, FC_SUM_TO_BYTE };
struct fc_conv_integer {
    struct fc_conv2d conv; /* low and high: of a byte, less its zero point */
    int flip;       /* x has a sign: 128 is added to all of it */
    int x_zero;     /* what padding holds, as x does */
    int weights_zero; /* is one of the weights' zero points not 0? */
    int planes; /* VNNI: does each output channel see its own input channel alone? */
    int zero, result;
};

/* FC_FILTER_INTEGER takes kernels of at most so many elements that are not 0. */
enum { FC_INTEGER_TERMS = 9 };

enum { FC_MORE = 3 };

/* planes images of (h, w, c); out holds m results per plane. */
struct fc_filter2d {
    const void *x, *kernel; /* (m, kh, kw); separable: kh down the rows, then kw along; or NULL */
    void *out;
    void *more[FC_MORE]; /* the other results of filters that give several; NULL: not wanted */
    ptrdiff_t planes, h, w, c, m, oh, ow, kh, kw, top, left;
    ptrdiff_t stride_h, stride_w; /* other than 1 for FC_FILTER2D and FC_FILTER_SEPARABLE alone */
    ptrdiff_t block_rows, block_cols;
    /* FC_FILTER_SLIDE, _WINDOW, _BOX and _MOMENTS divide by scale; of FC_FILTER_HARRIS it is k. */
    double cval, scale, delta;
    int border_h, border_w, dtype, out_dtype;
    int stream; /* results, stored as they are computed, are larger than the caches: past them */
    int reduction;  /* of FC_FILTER_SLIDE, FC_FILTER_WINDOW and FC_FILTER_FOOTPRINT */
    ptrdiff_t rank; /* of FC_FILTER_NETWORK and FC_FILTER_RANK: 0 is the smallest */
    ptrdiff_t kernel_rows; /* whose source lines are kept at once: fewer than kh in FC_FILTER2D and
                              FC_FILTER_FOOTPRINT alone */
    ptrdiff_t span_rows, block_c; /* of FC_FILTER_RECURSIVE: rows from run-in to run-in; channels */
    ptrdiff_t ksize; /* of FC_FILTER_HARRIS and FC_FILTER_SHI_TOMASI: taps of a slope */
};

/* A member of a struct of parameters that is no pointer (of fc_conv_integer: nor of its conv), for who has its
 * value by name. Lists end with an empty name. */
enum { FC_MEMBER_SIZE, FC_MEMBER_DOUBLE, FC_MEMBER_INT }; /* ptrdiff_t, double, int */
struct fc_member {
    char name[18];
    unsigned char type;
    unsigned short offset;
};
extern const struct fc_member fc_conv2d_members[], fc_conv_integer_members[], fc_filter2d_members[],
    fc_pool_members[];

/* One axis of a pooling: o windows of k elements, over n elements and the declared padding. Without
 * k they are adaptive: window i begins at i * n / o and ends before (i + 1) * n / o, rounded up. */
struct fc_axis {
    ptrdiff_t n, k, stride, dilation, before, after, o;
};

/* planes volumes of (d, h, w, c); channels first, c is 1 and each channel a plane. The backward
 * kernels FC_POOL_SCATTER, FC_POOL_SPREAD and FC_POOL_MAX_GRAD read outputs (x) and write elements
 * (out). */
struct fc_pool {
    const void *x;
    void *out;
    int64_t *indices;
    const void *starts; /* of FC_POOL_ARGMAX: int64_t, the first taps of d.o, h.o and w.o windows
                         * for each channel, or NULL; of FC_POOL_MAX_GRAD: what was pooled */
    struct fc_axis d, h, w;
    ptrdiff_t planes, c;
    ptrdiff_t block_rows, block_cols, batch; /* of outputs; how many rows are computed together */
    double divisor; /* of a sum; 0: the window's own size */
    double norm;    /* of a sum: of |x|**norm, as a norm; 0: of x */
    int pooling, dtype, count_include_pad;
    int accumulate; /* of FC_POOL_SCATTER: add, do not put */
    int positive;   /* of FC_POOL_MAX_GRAD: of maxima above zero alone, as a ReLU before it has it */
};

/* FC_FMA_PEAK: each unit does FC_PEAK_STEPS * FC_PEAK_CHAINS multiply-adds of whole vectors. */
enum { FC_PEAK_STEPS = 4096, FC_PEAK_CHAINS = 12 };
struct fc_fma_peak {
    ptrdiff_t units;
    double scale;
};

typedef void fc_kernel(const void *params, ptrdiff_t begin, ptrdiff_t end, void *scratch);

struct fc_algorithm {
    fc_kernel *run;
    ptrdiff_t (*units)(const void *params);
    size_t (*scratch)(const void *params);  /* bytes per thread; asked once a call: FC_SMALL */
    ptrdiff_t (*packed)(const void *params); /* elements of packed weights; NULL: never packed */
    void (*pack)(const void *params, void *packed); /* params->weight in the caller's layout */
};

/* One variant: an instruction set and an element type. */
struct fc_kernels {
    const char *isa;
    int bits;        /* 32, 64: float, double; 8, 16: uint8_t, uint16_t */
    int lanes;       /* elements per vector */
    struct fc_algorithm (*algorithm)(enum fc_algorithm_id); /* zeros where it has none */
};

/* dispatch.c: the instruction sets of this build that this processor runs, best first; NULL past
 * the end. */
const char *fc_isa_name(int index);

/* The variant of one of those names. Whether this processor runs it is not asked again:
 * in a virtual machine that takes as long as a small image. */
const struct fc_kernels *fc_find_kernels(const char *isa, int bits);

/* cpu.c */
int fc_cpu_has_avx2(void); /* and FMA and F16C */
int fc_cpu_has_avx512(void); /* F, BW, DQ and VL */
int fc_cpu_has_vnni(void); /* AVX-512's, which multiplies bytes */
size_t fc_cpu_l2_bytes(void); /* of one core; 0 where it is not known */

/* parallel.c: compute a whole call on at most `threads` threads; -1 when memory ran out, else 0. */
int fc_run(const struct fc_algorithm *algorithm, const void *params, int threads);
int fc_openmp_max_threads(void); /* what the OpenMP runtime would take; 0 without OpenMP */

#endif
