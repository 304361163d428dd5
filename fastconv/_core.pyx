# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
# cython: binding=False, auto_pickle=False
"""The door to the C core: arrays and sizes in, one call with the GIL released.

Nothing is checked here. Arrays arrive as contiguous, aligned, native memory from `_arrays`, and are
read as bytes; sizes come from `_geometry`, the algorithm and its blocks from `_plan`.
"""

from time import perf_counter

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release
from cpython.exc cimport PyErr_Clear
from libc.stdint cimport uintptr_t


cdef extern from "Python.h":
    # Its error, be it of memory, is only that a call takes the long way, which says what is wrong:
    # no try, which costs as much as the call.
    int get_buffer "PyObject_GetBuffer"(object array, Py_buffer *view, int flags) noexcept
    int hold_buffer "PyObject_GetBuffer"(object array, Py_buffer *view, int flags) except -1


cdef extern from "fastconv.h" nogil:
    cdef enum:
        FC_ALGORITHM_COUNT, FC_FMA_PEAK
        FC_INTEGER_CHANNELS, FC_SUM_AS_IT_IS, FC_SUM_TO_FLOAT, FC_SUM_TO_BYTE
        FC_PEAK_STEPS, FC_PEAK_CHAINS, FC_INTEGER_TERMS, FC_MORE
        FC_LINEAR, FC_RELU, FC_LEAKY_RELU, FC_CLIP, FC_HARD_SWISH
        FC_SIGMOID, FC_TANH, FC_SILU, FC_GELU
        FC_MAX_POOL, FC_MIN_POOL, FC_SUM_POOL, FC_SUM, FC_MAXIMUM, FC_MINIMUM
        FC_CONSTANT, FC_EDGE, FC_REFLECT, FC_SYMMETRIC, FC_WRAP
        FC_UINT8, FC_UINT16, FC_INT16, FC_FLOAT16, FC_FLOAT32, FC_FLOAT64

    ctypedef struct fc_conv2d "struct fc_conv2d":
        const void *x
        const void *weight
        const void *bias
        const void *residual
        const void *dy
        void *out
        ptrdiff_t block_rows, block_cols, block_c, block_k

    ctypedef struct fc_conv_integer "struct fc_conv_integer":
        fc_conv2d conv

    ctypedef struct fc_filter2d "struct fc_filter2d":
        const void *x
        const void *kernel
        void *out
        void *more[3]
        ptrdiff_t block_rows, block_cols

    enum: FC_MEMBER_SIZE, FC_MEMBER_DOUBLE
    ctypedef struct fc_member "struct fc_member":
        const char *name
        int offset, type
    const fc_member *fc_conv2d_members
    const fc_member *fc_conv_integer_members
    const fc_member *fc_filter2d_members
    const fc_member *fc_pool_members

    ctypedef struct fc_algorithm_name "struct fc_algorithm_name":
        const char *text
    const fc_algorithm_name *fc_algorithm_names

    ctypedef long long int64_t

    ctypedef struct fc_pool "struct fc_pool":
        const void *x
        void *out
        int64_t *indices
        const void *starts

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
        fc_algorithm (*algorithm)(int id) noexcept

    const char *fc_isa_name(int index)
    const fc_kernels *fc_find_kernels(const char *isa, int bits)
    int fc_run(const fc_algorithm *algorithm, const void *params, int threads)
    int fc_openmp_max_threads()
    size_t fc_cpu_l2_bytes()
    int fc_cpu_has_vnni()


ALGORITHMS = {fc_algorithm_names[i].text.decode(): i for i in range(FC_ALGORITHM_COUNT)}
ACTIVATIONS = {
    None: FC_LINEAR,
    "relu": FC_RELU,
    "leaky_relu": FC_LEAKY_RELU,
    "clip": FC_CLIP,
    "hard_swish": FC_HARD_SWISH,
    "sigmoid": FC_SIGMOID,
    "tanh": FC_TANH,
    "silu": FC_SILU,
    "gelu": FC_GELU,
}
INTEGER_TERMS = FC_INTEGER_TERMS
MORE = FC_MORE
INTEGER_CHANNELS = FC_INTEGER_CHANNELS
SUM_RESULTS = {"int32": FC_SUM_AS_IT_IS, "float32": FC_SUM_TO_FLOAT}
SUM_RESULTS |= {"uint8": FC_SUM_TO_BYTE, "int8": FC_SUM_TO_BYTE}
REDUCTIONS = {"sum": FC_SUM, "maximum": FC_MAXIMUM, "minimum": FC_MINIMUM}
POOLINGS = {"max": FC_MAX_POOL, "min": FC_MIN_POOL, "sum": FC_SUM_POOL}
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
    "float16": FC_FLOAT16,
    "float32": FC_FLOAT32,
    "float64": FC_FLOAT64,
}


cdef object ndarray = None, allocator = None


cdef int know_arrays() except -1:
    """Import what planned calls know arrays by; without them this module needs no NumPy."""
    global ndarray, allocator
    import numpy

    from fastconv import _arrays

    ndarray, allocator = numpy.ndarray, _arrays.allocator
    return 0


cdef const void *start_of(array) except? NULL:
    """Where the memory of a contiguous array begins, to read; NULL for None."""
    if array is None:
        return NULL
    cdef const unsigned char[::1] memory = bytes_of(array)
    return &memory[0]


cdef void *start_of_out(array) except? NULL:
    """The same, to write."""
    if array is None:
        return NULL
    cdef unsigned char[::1] memory = bytes_of(array)
    return &memory[0]


cdef object bytes_of(array):
    if not array.flags.c_contiguous:  # its bytes would be a copy's, which nobody keeps
        raise ValueError("fastconv: got an array that is not contiguous, expected one that is")
    return array.reshape(-1).view("B")


cdef class Task:
    """A planned call: an algorithm of one variant and its sizes."""

    cdef readonly str algorithm
    cdef fc_algorithm entry
    cdef const void *params

    def __init__(self, str isa, int bits, str algorithm, dict sizes, dict of_integers=None, /):
        cdef bytes name = isa.encode()
        self.take_sizes(sizes, of_integers)
        self.algorithm = algorithm
        self.entry = fc_find_kernels(name, bits).algorithm(ALGORITHMS[algorithm])

    cdef int take_sizes(self, dict sizes, dict of_integers) except -1:
        raise NotImplementedError

    cdef int run(self, const void *params, int threads) except -1:
        cdef int status
        with nogil:
            status = fc_run(&self.entry, params, threads)
        if status != 0:
            raise MemoryError(f"fastconv: no memory for {threads} x {self.scratch_bytes} bytes of scratch")
        return 0

    def __call__(self, x, kernel, tuple outs, int threads, /):
        # kernel: or what else is read. outs: each result in its place, None where it is not wanted.
        cdef void *results[FC_MORE + 1]
        cdef int i
        for i in range(FC_MORE + 1):
            results[i] = start_of_out(outs[i] if i < len(outs) else None)
        self.compute(start_of(x), start_of(kernel), results, threads)

    cdef int compute(self, const void *x, const void *kernel, void **outs, int threads) except -1:
        raise NotImplementedError

    @property
    def units(self):
        """Parts that threads can share."""
        return self.entry.units(self.params)

    @property
    def scratch_bytes(self):
        """Scratch memory of each thread."""
        return self.entry.scratch(self.params)


cdef int assign(void *params, const fc_member *member, dict sizes) except -1:
    """Set all members of a struct that come from a dict of sizes."""
    cdef Py_ssize_t count = 0
    cdef char *place
    while member[count].name[0]:
        place = <char *>params + member[count].offset
        size = sizes[member[count].name.decode()]
        if member[count].type == FC_MEMBER_SIZE:
            (<ptrdiff_t *>place)[0] = size
        elif member[count].type == FC_MEMBER_DOUBLE:
            (<double *>place)[0] = size
        else:
            (<int *>place)[0] = size
        count += 1
    if count != len(sizes):
        raise TypeError(f"fastconv: {len(sizes)} sizes for a struct of {count}")
    return 0


# All arrays of a convolution or a gradient, and which one is the result.
cdef enum:
    CALL_ARRAYS = 6
    CALL_OUT = 2


cdef class Conv2d(Task):
    cdef fc_conv_integer sizes

    cdef int take_sizes(self, dict sizes, dict of_integers) except -1:
        cdef fc_conv_integer *s = &self.sizes
        self.params = s
        if of_integers is not None:
            assign(s, fc_conv_integer_members, of_integers)
        return assign(&s.conv, fc_conv2d_members, sizes)

    @property
    def blocks(self):
        """Rows, columns, input channels and output channels of a block."""
        cdef const fc_conv2d *s = &self.sizes.conv
        return s.block_rows, s.block_cols, s.block_c, s.block_k

    @property
    def packed_size(self):
        """Elements of packed weights."""
        return self.entry.packed(self.params)

    def pack(self, weight, packed, /):
        cdef fc_conv2d params = self.sizes.conv
        cdef void *to = start_of_out(packed)
        params.weight = start_of(weight)
        with nogil:
            self.entry.pack(&params, to)

    def __call__(self, int threads, /, *arrays):
        # arrays: x, dy, out, packed weights, bias, residual; each may be None, or the last ones not
        # there. A layer calls in each step of a training: no views of bytes, which take as long as
        # small images.
        cdef Py_buffer views[CALL_ARRAYS]
        cdef void *data[CALL_ARRAYS]
        cdef fc_conv_integer sizes = self.sizes
        cdef fc_conv2d *params = &sizes.conv
        cdef int i, taken = 0
        try:
            for i in range(CALL_ARRAYS):
                data[i] = NULL
                array = arrays[i] if i < len(arrays) else None
                if array is not None:
                    hold_buffer(array, &views[taken], PyBUF_WRITABLE if i == CALL_OUT else 0)
                    data[i] = views[taken].buf
                    taken += 1
            params.x, params.dy, params.out = data[0], data[1], data[CALL_OUT]
            params.weight, params.bias, params.residual = data[3], data[4], data[5]
            self.run(params, threads)
        finally:
            for i in range(taken):
                PyBuffer_Release(&views[i])


# Of an array that a Conv2dCall takes: dimensions, and type as the buffer protocol names it.
cdef enum:
    MOST_DIMENSIONS = 6
cdef struct Form:
    int ndim
    Py_ssize_t shape[MOST_DIMENSIONS]
    char kind


cdef Form form_of(tuple shape, dtype):
    cdef Form form
    form.ndim = len(shape)
    for i in range(form.ndim):
        form.shape[i] = shape[i]
    form.kind = ord(dtype.char)
    return form


cdef bint take(object array, Py_buffer *view, const Form *form, int flags) noexcept:
    """Take hold of an array's memory if it is plain and of this form."""
    cdef int i
    if get_buffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags):
        PyErr_Clear()
        return False
    cdef bint fits = (
        view.ndim == form.ndim and view.format[0] == form.kind and view.format[1] == 0
        and <uintptr_t>view.buf % <uintptr_t>view.itemsize == 0
    )
    for i in range(form.ndim):
        fits = fits and view.shape[i] == form.shape[i]
    if not fits:
        PyBuffer_Release(view)
    return fits


cdef bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept:
    return <char *>a.buf < <char *>b.buf + b.len and <char *>b.buf < <char *>a.buf + a.len


# Weights that Conv2dCall packs for each call.
cdef enum:
    PACKED_DOUBLES = 1024
PACKED_BYTES = PACKED_DOUBLES * 8


cdef class Conv2dCall:
    """A convolution that was planned for arrays of certain shapes.

    Checking and planning a small call takes longer than computing it, so they are not repeated:
    arrays like the first call's go straight to the kernel, for any others the answer is None.
    """

    cdef readonly Conv2d task
    cdef readonly tuple shapes, dtypes
    cdef readonly object bias
    cdef Form x, weight, out
    cdef object packed, empty
    cdef const void *packed_weight
    cdef const void *bias_data
    cdef readonly int threads
    cdef readonly str isa
    cdef readonly double seconds

    def __init__(self, Conv2d task, int threads, str isa, double seconds, tuple shapes,
                 tuple dtypes, packed, bias, /):
        # shapes and dtypes: of x, the weights and the result. Without packed weights, those that a
        # call comes with are packed each time.
        know_arrays()
        self.task, self.threads, self.isa, self.seconds = task, threads, isa, seconds
        self.empty = allocator(shapes[2], dtypes[2])
        self.shapes, self.dtypes, self.packed, self.bias = shapes, dtypes, packed, bias
        self.x, self.weight, self.out = (
            form_of(shapes[0], dtypes[0]), form_of(shapes[1], dtypes[1]),
            form_of(shapes[2], dtypes[2]),
        )
        self.packed_weight, self.bias_data = start_of(packed), start_of(bias)

    def __call__(self, x, out, weight, /):
        # Gives the result, or None; packs `weight` where it has no packed ones.
        cdef Py_buffer views[3]
        cdef double packed[PACKED_DOUBLES]  # aligned for either type
        cdef fc_conv_integer sizes = self.task.sizes
        cdef fc_conv2d *params = &sizes.conv
        cdef int i, taken = 0
        # A subclass may mean something else by its memory.
        if type(x) is not ndarray:
            return None
        if out is None:
            out = self.empty(self.shapes[2], self.dtypes[2])
        elif type(out) is not ndarray:
            return None
        try:
            if not take(x, &views[0], &self.x, 0):
                return None
            taken = 1
            if not take(out, &views[1], &self.out, PyBUF_WRITABLE):
                return None
            taken = 2
            if overlap(&views[0], &views[1]):
                return None
            params.weight = self.packed_weight
            if self.packed_weight == NULL:
                if type(weight) is not ndarray or not take(weight, &views[2], &self.weight, 0):
                    return None
                taken = 3
                if overlap(&views[2], &views[1]):
                    return None
                params.weight = views[2].buf
                self.task.entry.pack(params, packed)
                params.weight = packed
            params.x, params.out, params.bias = views[0].buf, views[1].buf, self.bias_data
            params.residual = NULL
            self.task.run(params, self.threads)
        finally:
            for i in range(taken):
                PyBuffer_Release(&views[i])
        return out


cdef class Filter2d(Task):
    cdef fc_filter2d sizes

    cdef int take_sizes(self, dict sizes, dict of_integers) except -1:
        self.params = &self.sizes
        return assign(&self.sizes, fc_filter2d_members, sizes)

    @property
    def blocks(self):
        """What one unit covers: rows and columns of outputs."""
        return self.sizes.block_rows, self.sizes.block_cols

    cdef int compute(self, const void *x, const void *kernel, void **outs, int threads) except -1:
        cdef fc_filter2d params = self.sizes
        cdef int i  # untyped it would be an object, slower than small images
        params.x, params.kernel, params.out = x, kernel, outs[0]
        for i in range(FC_MORE):
            params.more[i] = outs[i + 1]
        return self.run(&params, threads)


cdef bint same_types(tuple a, tuple b):
    # Of equal options: 1, 1.0 and True are equal, and not all of them are good.
    cdef Py_ssize_t i
    for i in range(len(a)):
        if type(a[i]) is not type(b[i]):
            return False
        if type(a[i]) is tuple and not same_types(a[i], b[i]):
            return False
    return True


cdef class PlannedCall:
    """An image filter or a pooling that was planned for arrays of one shape, as Conv2dCall."""

    cdef Task task
    cdef tuple shape
    cdef Form image, out
    cdef tuple options  # all that the call was planned for but arrays
    cdef object dtype, kernel, empty
    cdef const void *kernel_data
    cdef readonly int threads
    cdef readonly bint shared  # between as many threads as calls use when they are not told
    cdef int count  # of results
    cdef int places[FC_MORE + 1]
    cdef bint several

    def __init__(self, Task task, int threads, bint shared, tuple image_shape, image_dtype,
                 tuple shape, dtype, kernel, places, tuple options, /):
        # places: which of the results a call may have its one is, or a tuple of what its several are
        know_arrays()
        self.empty = allocator(shape, dtype)
        self.task, self.shape, self.dtype, self.kernel = task, shape, dtype, kernel
        self.image, self.out = form_of(image_shape, image_dtype), form_of(shape, dtype)
        self.options = options
        self.kernel_data = start_of(kernel)
        self.threads, self.shared = threads, shared
        self.several = type(places) is tuple
        for place in places if self.several else (places,):
            self.places[self.count] = place
            self.count += 1

    cdef object call(self, image, out, tuple options):
        # Gives the result, or a tuple of several, or None.
        cdef Py_buffer views[FC_MORE + 2]
        cdef void *results[FC_MORE + 1]
        cdef int i, j, taken = 0
        cdef list made = [] if self.several else None
        if not same_types(self.options, options):
            return None
        if self.several and out is not None and not (
            type(out) in (tuple, list) and len(out) == self.count
        ):
            return None
        try:
            if not take(image, &views[0], &self.image, 0):
                return None
            taken = 1
            for i in range(FC_MORE + 1):
                results[i] = NULL
            for i in range(self.count):
                result = out if made is None or out is None else out[i]
                if result is None:
                    result = self.empty(self.shape, self.dtype)
                elif type(result) is not ndarray:
                    return None
                if not take(result, &views[taken], &self.out, PyBUF_WRITABLE):
                    return None
                taken += 1
                for j in range(i + 1):
                    if overlap(&views[j], &views[i + 1]):
                        return None
                results[self.places[i]] = views[i + 1].buf
                if made is not None:
                    made.append(result)
            self.task.compute(views[0].buf, self.kernel_data, results, self.threads)
        finally:
            for i in range(taken):
                PyBuffer_Release(&views[i])
        return result if made is None else tuple(made)


# Of the image and the kernel of a call that is worth keeping; a bank's result has one axis more.
cdef enum:
    PLANNED_DIMENSIONS = MOST_DIMENSIONS - 1
    PLANNED_KERNEL = 4096  # elements


cdef class PlannedCalls:
    """Calls that were planned before, each by all that it depends on but pixels."""

    cdef readonly dict calls
    cdef object config, threads

    def __init__(self, config, threads, /):
        # config: the module that knows the instruction set; threads: gives those that calls use
        know_arrays()
        self.calls = {}
        self.config, self.threads = config, threads

    def find(self, function, image, out, kernel, /, *options):
        """The key of a call, and its result if it was planned; each None where that is not simple."""
        cdef PlannedCall call
        if type(image) is not ndarray or <int>image.ndim > PLANNED_DIMENSIONS:
            return None, None
        if kernel is not None:
            if type(kernel) is not ndarray or <Py_ssize_t>kernel.size > PLANNED_KERNEL:
                return None, None
            kernel = kernel.shape, kernel.dtype, kernel.tobytes()
        isa = self.config.selected_isa
        if isa is None:
            isa = self.config.isa()
        cdef tuple key = (function, image.shape, image.dtype, kernel, isa, options)
        try:
            call = self.calls.get(key)
        except TypeError:  # a list, say: it cannot be part of a key
            return None, None
        if call is None or (call.shared and call.threads != <int>self.threads()):
            return key, None
        return key, call.call(image, out, options)


cdef class Pool(Task):
    cdef fc_pool sizes

    cdef int take_sizes(self, dict sizes, dict of_integers) except -1:
        self.params = &self.sizes
        return assign(&self.sizes, fc_pool_members, sizes)

    cdef int compute(self, const void *x, const void *kernel, void **outs, int threads) except -1:
        cdef fc_pool params = self.sizes
        params.x, params.out, params.indices, params.starts = x, outs[0], <int64_t *>outs[1], kernel
        return self.run(&params, threads)


def isas():
    """The instruction sets that this processor runs, best first, and the floats of a vector."""
    cdef const char *name = fc_isa_name(0)
    cdef dict lanes = {}
    while name != NULL:
        lanes[name.decode()] = fc_find_kernels(name, 32).lanes
        name = fc_isa_name(<int>len(lanes))
    return lanes


def openmp_max_threads():
    """What the OpenMP runtime would take now; 0 without OpenMP."""
    return fc_openmp_max_threads()


def l2_bytes():
    """The size of a core's L2 cache; 0 where it is not known."""
    return fc_cpu_l2_bytes()


def has_vnni():
    """Does this processor have AVX-512 VNNI?"""
    return fc_cpu_has_vnni() != 0


def fma_peak(str isa, int bits, double seconds, /):
    """GFLOP/s of multiply-adds on registers alone, on one thread: the ceiling of every kernel."""
    cdef bytes name = isa.encode()
    cdef const fc_kernels *kernels = fc_find_kernels(name, bits)
    cdef fc_algorithm peak = kernels.algorithm(FC_FMA_PEAK)
    cdef fc_fma_peak params = fc_fma_peak(64, 0.5)
    cdef double flops = 2.0 * FC_PEAK_STEPS * FC_PEAK_CHAINS * kernels.lanes * params.units
    cdef double best = 0, before, now = perf_counter(), end = now + seconds
    while best == 0 or now < end:
        before = now
        fc_run(&peak, &params, 1)
        now = perf_counter()
        best = max(best, flops / (now - before) / 1e9)
    return best
