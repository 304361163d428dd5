"""A convolution with its weights, to be called many times: what all of them check and compute."""

import numpy as np

from fastconv import _arrays, _config, _core, _geometry, _plan, _threads

DTYPES = ("float32", "float64")
ALGORITHMS = ("auto", "direct")
PADDINGS = ("same", "valid")  # in words
# The axes of a kernel, and what it has at least of each, in words.
KERNELS = ("kd", "kh", "kw")
LEAST = {1: " and column", 2: ", row and column", 3: ", slice, row and column"}


class ConvPlan:
    """A convolution with its weights, in any number of dimensions."""

    _dims = None
    _words = PADDINGS
    _dtypes = DTYPES
    _keeps = False
    # Types are compared by their char, which is the same in either byte order: readers differ.
    _read = staticmethod(_arrays.readable)

    def __init__(
        self, function, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=False, turned=False,
    ):  # fmt: skip
        dims, layouts = self._dims, _geometry.LAYOUTS[self._dims]
        # A transposed convolution's weights begin with its input channels.
        names, side = ("C, K", "input") if turned else ("K, C", "output")
        expected = f"({names} // groups, {', '.join(KERNELS[-dims:])})"
        weight = self._read(function, "weight", weight, self._dtypes, expected)
        stride = _geometry.pair(function, "stride", stride, 1, dims)
        padding = _geometry.padding(function, padding, dims, PADDINGS if turned else self._words)
        dilation = _geometry.pair(function, "dilation", dilation, 1, dims)
        groups = _geometry.integer(function, "groups", groups, 1)
        border = _geometry.borders(function, "padding_mode", padding_mode, dims)
        activation = _geometry.activation(function, activation, weight.dtype)
        layout = _geometry.choice(function, "layout", layout, tuple(layouts))
        algorithm = _geometry.choice(function, "algorithm", algorithm, ALGORITHMS)
        if 0 in weight.shape[not turned :]:
            raise ValueError(
                f"{function}: weight has shape {weight.shape}, expected {expected} of at least "
                f"one channel{LEAST[dims]}"
            )
        if len(weight) % groups:
            raise ValueError(
                f"{function}: weight has {len(weight)} {side} channels, expected a multiple of "
                f"groups={groups}"
            )
        if bias is not None:
            self._function, self._weight = function, weight
            bias = self.checked_bias(bias, len(weight))
        if copy:
            weight, bias = weight.copy(), bias if bias is None else bias.copy()
        self._keeps = copy
        self._begin(
            function, weight, bias, stride=stride, padding=padding, dilation=dilation,
            groups=groups, border=border, activation=activation, layout=layout,
            algorithm=algorithm,
        )  # fmt: skip

    @classmethod
    def plain(cls, function, weight, bias, groups, activation, layout, algorithm):
        """A plan of stride 1 without a border, of arguments that were checked."""
        plan, dims = cls.__new__(cls), cls._dims
        plan._begin(
            function, weight, bias, stride=(1,) * dims, padding=((0, 0),) * dims,
            dilation=(1,) * dims, groups=groups, border=("constant",) * dims,
            activation=activation, layout=layout, algorithm=algorithm,
        )  # fmt: skip
        return plan

    def _begin(
        self, function, weight, bias, *, stride, padding, dilation, groups, border, activation,
        layout, algorithm,
    ):  # fmt: skip
        self._function, self._weight, self._bias = function, weight, bias
        self._stride, self._padding, self._dilation = stride, padding, dilation
        self._groups, self._border, self._activation = groups, border, activation
        self._layout, self._algorithm = layout, algorithm
        self._packed = {}
        self._moderate = None
        self._call = None  # the last one's, ready for arrays like those
        self._last = None, None, None  # a geometry, what else its task depends on, and the task

    def __repr__(self):
        k, c, *kernel = self._weight.shape
        return (
            f"{type(self).__name__}({c * self._groups} -> {k} channels, "
            f"kernel {'x'.join(map(str, kernel))}, "
            f"stride {self._stride}, padding {self._padding!r}, dilation {self._dilation}, "
            f"groups {self._groups}, {self._layout}, {self._weight.dtype})"
        )

    def __call__(self, x, out=None, threads=None, residual=None):
        """Convolve a batch of the plan's layout and of the weights' dtype; as `conv2d`."""
        if residual is None and (result := self._ready_result(x, out, threads)) is not None:
            return result
        function = self._function
        x, geometry, residual, threads = self._checked_call(x, threads, residual)
        result, finish = _arrays.writable(
            function, out, geometry.shape, x.dtype, (x, self._weight, self._bias, residual)
        )
        if result.size:
            task, threads = self.planned(geometry, threads)
            self.compute(task, x, residual, result, threads)
            if residual is None:
                seconds = _plan.conv2d_seconds(geometry)
                self._keep(task, threads, seconds, x, result, self._packed_for(task), self._bias)
        return finish()

    def planned(self, geometry, threads):
        """The task of a geometry for these weights, and on how many threads."""
        winograd = self._winograd_refused(geometry) is None
        threads = _plan.share(threads, _plan.conv2d_seconds(geometry))
        last, key = self._last, (winograd, threads, _config.isa())
        if last[0] is not geometry or last[1] != key:
            # The core counts its scratch memory in 64 bits: more is refused before it counts.
            seen = "the input under a kernel"
            _arrays.check_memory(self._function, seen, geometry.seen, self._weight.dtype)
            task, _ = _plan.conv2d(geometry, winograd, threads)
            _arrays.check_scratch(self._function, task, threads)
            last = self._last = geometry, key, task
        return last[2], threads

    def compute(self, task, x, residual, result, threads):
        """Run a planned task."""
        task(threads, x, None, result, self._packed_for(task), self._bias, residual)

    def _ready_result(self, x, out, threads):
        """The result, if the call is like the last one: as many threads, and the same variant."""
        call = self._call
        if call is None:
            return None
        if threads is None and call.seconds <= _plan.SHARED_SECONDS:
            threads = 1
        elif threads is None:
            threads = _plan.share(threads, call.seconds)
        elif type(threads) is not int:  # 1.0 is equal to 1, and no number of threads
            return None
        if call.threads != threads or call.isa is not _config.selected_isa:
            return None
        return call(x, out, None)

    def _keep(self, task, threads, seconds, x, result, packed, bias):
        """Let the next call be like this one."""
        self._call = _core.Conv2dCall(
            task, threads, _config.isa(), seconds, (x.shape, self._weight.shape, result.shape),
            (x.dtype, self._weight.dtype, result.dtype), packed, bias,
        )  # fmt: skip

    def __getstate__(self):
        """Pickled, it packs its weights and plans its calls anew."""
        return {**self.__dict__, "_packed": {}, "_call": None, "_last": (None, None, None)}

    def repack(self):
        """Look at the weights again: their values have changed."""
        self._packed, self._moderate, self._call = {}, None, None

    def load(self, weight):
        """Go on with other contiguous weights of the same shape and type."""
        self._weight = weight
        self.repack()

    def unload(self):
        """Keep no weights until others are loaded."""
        self.give_back()
        self._weight = self._call = None

    def give_back(self):
        """Let the next plain call have the memory of the packed weights."""
        for packed in self._packed.values():
            _arrays.give_buffer(packed)
        self._packed = {}

    def small_call(self):
        """The last call for any weights of the same shape, if it was a small one."""
        call = self._call
        if call is None or call.threads > 1 or call.seconds > _plan.SHARED_SECONDS:
            return None
        task = call.task
        many = task.packed_size * self._weight.itemsize > _core.PACKED_BYTES
        # Winograd's transforms are not for all weights.
        if self._by_slices() is not self._weight or many or task.algorithm.startswith("winograd"):
            return None
        return _core.Conv2dCall(
            task, call.threads, call.isa, call.seconds, call.shapes, call.dtypes, None, call.bias
        )

    @property
    def batch(self):
        """What x looks like, in words."""
        return _geometry.LAYOUTS[self._dims][self._layout]

    def _checked_call(self, x, threads, residual):
        """The arguments of a call as they are used, and its geometry."""
        x = self._read(self._function, "x", x, self._dtypes, self.batch)
        geometry = self._geometry(x, residual is not None)
        if residual is not None:
            residual = self._checked_residual(residual, geometry.shape)
        if threads is not None:
            threads = _threads.checked(self._function, "threads", threads)
        return x, geometry, residual, threads

    def checked_bias(self, bias, channels, dtypes=DTYPES):
        """One number for each of so many output channels."""
        bias = self._read(self._function, "bias", bias, dtypes, "(K,)")
        if bias.shape != (channels,):
            raise ValueError(
                f"{self._function}: bias has shape {bias.shape}, expected {(channels,)} (one per "
                "output channel)"
            )
        self.check_dtype("bias", bias)
        return bias

    def check_dtype(self, name, array):
        """Refuse another type than the weights'."""
        if array.dtype.char != self._weight.dtype.char:
            raise TypeError(
                f"{self._function}: {name} has dtype {array.dtype}, expected weight's, "
                f"{self._weight.dtype}; convert one of them with .astype"
            )

    def _checked_residual(self, residual, shape):
        residual = self._read(self._function, "residual", residual, DTYPES, self.batch)
        if residual.shape != shape:
            raise ValueError(
                f"{self._function}: residual has shape {residual.shape}, expected the result's, "
                f"{shape}"
            )
        self.check_dtype("residual", residual)
        return residual

    def _geometry(self, x, residual):
        function, weight, groups = self._function, self._weight, self._groups
        n, channels, *size = _geometry.sizes(self._layout, x.shape)
        k, c, *kernel = weight.shape
        if channels != c * groups:
            raise ValueError(
                f"{function}: weight expects {c * groups} input channels (groups={groups}) "
                f"but x has {channels}" + self.layout_hint(x, c * groups)
            )
        self.check_dtype("x", x)
        windows = _geometry.windows(
            function, size, kernel, self._stride, self._padding, self._dilation
        )
        return self.geometry_of(n, c, k, windows, residual)

    def geometry_of(self, n, c, k, windows, residual=False):
        """The geometry of n samples, c channels per group and k in all, and the plan's windows."""
        missing = 3 - self._dims
        depth, rows, cols = (_geometry.POINT,) * missing + windows
        border_d, *border = ("constant",) * missing + self._border
        if depth.n < 1:
            raise ValueError(f"{self._function}: x has {depth.n} slices, expected at least 1")
        return _geometry.Conv2d(
            n * depth.o, self._groups, c * depth.k, k // self._groups, rows, cols, tuple(border),
            self._activation, residual, "NHWC" if self._layout.endswith("C") else "NCHW",
            8 * self._weight.itemsize, depth, border_d, self._dims,
        )  # fmt: skip

    def layout_hint(self, x, expected):
        """What else x may have been meant for, at the end of an error."""
        layouts = _geometry.LAYOUTS[self._dims]
        (other,) = set(layouts) - {self._layout}
        if _geometry.sizes(other, x.shape)[1] != expected:
            return ""
        return f"; for {layouts[other]} pass layout={other!r}"

    def _winograd_refused(self, geometry):
        """Why a call does not get Winograd's transforms, or None: it does."""
        if self._algorithm == "direct":
            return _plan.ASKED_DIRECT
        refused = _plan.winograd_refused(geometry)
        if refused is None and not self._moderate_weights():
            return _plan.WILD_WEIGHTS
        return refused

    def _moderate_weights(self):
        """Can Winograd's transforms do with these weights without an overflow?"""
        if self._moderate is None:
            # The sum of a kernel's absolute weights is below 2**48; never so with a NaN.
            largest = max(float(self._weight.max()), -float(self._weight.min()))
            self._moderate = largest * self._weight[0].size < 2**48
        return self._moderate

    def _by_slices(self):
        """The weights in the order of their terms: all channels of a slice, then of the next."""
        if self._dims < 3 or self._weight.shape[2] == 1:
            return self._weight
        return np.ascontiguousarray(self._weight.swapaxes(1, 2))

    def _packed_for(self, task):
        """The weights in the order that the task reads them; one variant packs them once."""
        key = _config.isa(), task.algorithm
        if key not in self._packed:
            size = task.packed_size * self._weight.itemsize
            packed = np.empty(size, np.uint8) if self._keeps else _arrays.take_buffer(size)
            task.pack(self._by_slices(), packed)
            self._packed[key] = packed
        return self._packed[key]


class Conv1dPlan(ConvPlan):
    """A convolution with its weights; made by `plan_conv1d`."""

    _dims = 1
    _words = ("same", "causal", "valid")


class Conv2dPlan(ConvPlan):
    """A convolution with its weights; made by `plan_conv2d`."""

    _dims = 2


class Conv3dPlan(ConvPlan):
    """A convolution with its weights; made by `plan_conv3d`."""

    _dims = 3


PLANS = {1: Conv1dPlan, 2: Conv2dPlan, 3: Conv3dPlan}
