# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The door to the C core: arrays and sizes in, one call with the GIL released.

Nothing is checked here. Arrays arrive as the bytes of contiguous, aligned, native memory from
`_arrays`, sizes from `_geometry`, the algorithm and its blocks from `_plan`.
"""

from time import perf_counter


cdef extern from "fastconv.h" nogil:
    cdef enum:
        FC_CONV_DIRECT_PIXEL, FC_CONV_DIRECT_CHANNEL, FC_CONV_DEPTHWISE, FC_CONV_WINOGRAD
        FC_CONV_DEPTHWISE_PLANE
        FC_FILTER2D, FC_FILTER_SEPARABLE, FC_POOL, FC_POOL_ARGMAX, FC_FMA_PEAK
        FC_PEAK_STEPS, FC_PEAK_CHAINS
        FC_LINEAR, FC_RELU
        FC_MAX_POOL, FC_AVG_POOL
        FC_CONSTANT, FC_EDGE, FC_REFLECT, FC_SYMMETRIC, FC_WRAP
        FC_UINT8, FC_UINT16, FC_INT16, FC_FLOAT32, FC_FLOAT64

    ctypedef struct fc_conv2d "struct fc_conv2d":
        const void *x
        const void *weight
        const void *bias
        void *out

    # The same struct again, with the members that come from a dict of sizes.
    ctypedef struct conv2d_sizes "struct fc_conv2d":
        ptrdiff_t n, groups, c, k, h, w, oh, ow, kh, kw
        ptrdiff_t stride_h, stride_w, dilation_h, dilation_w, top, left
        ptrdiff_t block_rows, block_cols, block_c, block_k
        int border_h, border_w, activation, stream

    ctypedef struct fc_filter2d "struct fc_filter2d":
        const void *x
        const void *kernel
        void *out

    ctypedef struct filter2d_sizes "struct fc_filter2d":
        ptrdiff_t planes, h, w, c, m, oh, ow, kh, kw, top, left
        ptrdiff_t block_rows, block_cols
        double cval, scale, delta
        int border_h, border_w, dtype, out_dtype

    ctypedef long long int64_t
    ctypedef struct fc_pool2d "struct fc_pool2d":
        const void *x
        void *out
        int64_t *indices

    ctypedef struct pool2d_sizes "struct fc_pool2d":
        ptrdiff_t planes, h, w, c, oh, ow, kh, kw
        ptrdiff_t stride_h, stride_w, dilation_h, dilation_w, top, left, bottom, right
        ptrdiff_t block_rows
        double divisor
        int pooling, count_include_pad

    ctypedef struct fc_fma_peak "struct fc_fma_peak":
        ptrdiff_t units
        double scale

    ctypedef struct fc_algorithm "struct fc_algorithm":
        ptrdiff_t (*units)(const void *params) noexcept
        size_t (*scratch)(const void *params) noexcept
        ptrdiff_t (*packed)(const void *params) noexcept
        void (*pack)(const void *params, void *packed) noexcept nogil

    ctypedef struct fc_kernels "struct fc_kernels":
        int lanes
        fc_algorithm algorithm[1]

    const char *fc_isa_name(int index)
    const fc_kernels *fc_find_kernels(const char *isa, int bits)
    int fc_run(const fc_algorithm *algorithm, const void *params, int threads)
    int fc_openmp_max_threads()


ALGORITHMS = {
    "direct_pixel": FC_CONV_DIRECT_PIXEL,
    "direct_channel": FC_CONV_DIRECT_CHANNEL,
    "depthwise": FC_CONV_DEPTHWISE,
    "depthwise_plane": FC_CONV_DEPTHWISE_PLANE,
    "winograd": FC_CONV_WINOGRAD,
    "filter2d": FC_FILTER2D,
    "filter_separable": FC_FILTER_SEPARABLE,
    "pool": FC_POOL,
    "pool_argmax": FC_POOL_ARGMAX,
}
ACTIVATIONS = {None: FC_LINEAR, "relu": FC_RELU}
POOLINGS = {"max": FC_MAX_POOL, "avg": FC_AVG_POOL}
BORDERS = {
    "constant": FC_CONSTANT,
    "edge": FC_EDGE,
    "reflect": FC_REFLECT,
    "symmetric": FC_SYMMETRIC,
    "wrap": FC_WRAP,
}
DTYPES = {
    "uint8": FC_UINT8,
    "uint16": FC_UINT16,
    "int16": FC_INT16,
    "float32": FC_FLOAT32,
    "float64": FC_FLOAT64,
}


cdef class Task:
    """A planned call: an algorithm of one variant and its sizes."""

    cdef const fc_algorithm *algorithm
    cdef const void *params

    cdef int find(self, str isa, int bits, str algorithm) except -1:
        cdef bytes name = isa.encode()
        self.algorithm = &fc_find_kernels(name, bits).algorithm[<int>ALGORITHMS[algorithm]]
        return 0

    cdef int run(self, const void *params, int threads) except -1:
        cdef int status
        with nogil:
            status = fc_run(self.algorithm, params, threads)
        if status != 0:
            raise MemoryError(f"fastconv: no memory for {threads} x {self.scratch_bytes} bytes of scratch")
        return 0

    @property
    def units(self):
        """Parts that threads can share."""
        return self.algorithm.units(self.params)

    @property
    def scratch_bytes(self):
        """Scratch memory of each thread."""
        return self.algorithm.scratch(self.params)


cdef class Conv2d(Task):
    cdef fc_conv2d sizes

    def __cinit__(self, str isa, int bits, str algorithm, dict sizes):
        (<conv2d_sizes *>&self.sizes)[0] = sizes
        self.params = &self.sizes
        self.find(isa, bits, algorithm)

    @property
    def packed_size(self):
        """Elements of packed weights."""
        return self.algorithm.packed(self.params)

    def pack(self, const unsigned char[::1] weight, unsigned char[::1] packed):
        cdef fc_conv2d params = self.sizes
        params.weight = &weight[0]
        with nogil:
            self.algorithm.pack(&params, &packed[0])

    def __call__(self, const unsigned char[::1] x, const unsigned char[::1] packed,
                 const unsigned char[::1] bias, unsigned char[::1] out, int threads):
        cdef fc_conv2d params = self.sizes
        params.x = &x[0]
        params.weight = &packed[0]
        params.bias = NULL
        if bias is not None:
            params.bias = &bias[0]
        params.out = &out[0]
        self.run(&params, threads)


cdef class Filter2d(Task):
    cdef fc_filter2d sizes

    def __cinit__(self, str isa, int bits, str algorithm, dict sizes):
        (<filter2d_sizes *>&self.sizes)[0] = sizes
        self.params = &self.sizes
        self.find(isa, bits, algorithm)

    def __call__(self, const unsigned char[::1] x, const unsigned char[::1] kernel,
                 unsigned char[::1] out, int threads):
        cdef fc_filter2d params = self.sizes
        params.x = &x[0]
        params.kernel = &kernel[0]
        params.out = &out[0]
        self.run(&params, threads)


cdef class Pool2d(Task):
    cdef fc_pool2d sizes

    def __cinit__(self, str isa, int bits, str algorithm, dict sizes):
        (<pool2d_sizes *>&self.sizes)[0] = sizes
        self.params = &self.sizes
        self.find(isa, bits, algorithm)

    def __call__(self, const unsigned char[::1] x, unsigned char[::1] out,
                 unsigned char[::1] indices, int threads):
        cdef fc_pool2d params = self.sizes
        params.x = &x[0]
        params.out = &out[0]
        params.indices = NULL
        if indices is not None:
            params.indices = <int64_t *>&indices[0]
        self.run(&params, threads)


def isa_names():
    """The instruction sets that this processor runs, best first."""
    names = []
    while fc_isa_name(len(names)) != NULL:
        names.append(fc_isa_name(len(names)).decode())
    return tuple(names)


def openmp_max_threads():
    """What the OpenMP runtime would take now; 0 without OpenMP."""
    return fc_openmp_max_threads()


def fma_peak(str isa, int bits=32, double seconds=0.1):
    """GFLOP/s of multiply-adds on registers alone, on one thread: the ceiling of every kernel."""
    cdef bytes name = isa.encode()
    cdef const fc_kernels *kernels = fc_find_kernels(name, bits)
    cdef fc_fma_peak params = fc_fma_peak(64, 0.5)
    cdef double flops = 2.0 * FC_PEAK_STEPS * FC_PEAK_CHAINS * kernels.lanes * params.units
    best, end = 0.0, perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter()
        fc_run(&kernels.algorithm[<int>FC_FMA_PEAK], &params, 1)
        best = max(best, flops / (perf_counter() - start) / 1e9)
    return best
