"""Convolution as CNNs do it (cross-correlation), in PyTorch's names and order of arguments."""

import numpy as np

from fastconv import _arrays, _config, _core, _geometry, _plan, _threads

__all__ = ["conv1d", "conv2d", "conv3d", "plan_conv1d", "plan_conv2d", "plan_conv3d"]

DTYPES = ("float32", "float64")
ALGORITHMS = ("auto", "direct")
PADDINGS = ("same", "valid")  # in words
# The axes of a kernel, and what it has at least of each, in words.
KERNELS = ("kd", "kh", "kw")
LEAST = {1: " and column", 2: ", row and column", 3: ", slice, row and column"}

# Small calls as they were planned; their weights are packed each time.
_small_calls = {}


def conv1d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of sequences with K kernels: `conv2d` along one axis.

    ``y[n, k, q] = bias[k] + sum over c, j of
    weight[k, c, j] * padded[n, c, q * stride + j * dilation]``.

    Parameters
    ----------
    x : (N, C, W) array, float32 or float64
        Sequences, as of sound or sensors; (N, W, C) with ``layout="NWC"``.
    weight : (K, C // groups, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (int,)
    padding : int, (int,), ((left, right),), "same", "causal" or "valid"
        "same" gives ceil(W / stride) columns, any stride; so does "causal", whose padding is all
        on the left: no output sees what comes after its place (`CausalConv1d` takes sequences
        piece by piece).
    groups, padding_mode, activation, residual, algorithm, out, threads
        As in `conv2d`.
    layout : "NCW" or "NWC"

    Returns
    -------
    (N, K, OW) array, or (N, OW, K) with ``layout="NWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    Bits and errors are as of `conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[1, 2, 3, 4]]], np.float32)
    >>> conv1d(x, np.array([[[1, 0, -1]]], np.float32), padding="same")
    array([[[-2., -2., -2.,  3.]]], dtype=float32)
    >>> conv1d(x, np.array([[[1, 0, -1]]], np.float32), padding="causal")
    array([[[-1., -2., -2., -2.]]], dtype=float32)
    """
    return _convolved(
        Conv1dPlan, "conv1d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def conv2d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of images with K kernels (what CNNs call convolution).

    ``y[n, k, p, q] = bias[k] + sum over c, i, j of
    weight[k, c, i, j] * padded[n, c, p * stride + i * dilation, q * stride + j * dilation]``,
    where c runs over the channels of k's group (Dumoulin and Visin, arXiv:1603.07285).

    Parameters
    ----------
    x : (N, C, H, W) array, float32 or float64
        Images; (N, H, W, C) with ``layout="NHWC"``. One image is a batch of one, ``x[None]``; for
        uint8 images see `fastconv.filters`, or convert them.
    weight : (K, C // groups, kh, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (rows, columns)
        Elements from one output, one tap, to the next.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
        "same" gives ceil(H / stride) rows, any stride; the odd element of padding comes last.
    groups : int
        Channels are cut into this many groups that do not mix; C for a depthwise convolution.
    padding_mode : str or (rows, columns)
        What padding holds: "zeros" ("constant"), "edge" ("replicate"), "reflect" (does not repeat
        the edge; SciPy's "mirror"), "symmetric" (repeats it; SciPy's "reflect"), "wrap"
        ("circular"). Padding wider than the image goes on reflecting or wrapping.
    activation : None, str or tuple
        Applied to every element in the same pass, after bias and residual:

        - "relu": max(x, 0)
        - "relu6": min(max(x, 0), 6)
        - "leaky_relu", or ("leaky_relu", slope): x if x > 0 else slope * x; slope is 0.01
        - ("clip", low, high): min(max(x, low), high)
        - "sigmoid": 1 / (1 + exp(-x))
        - "tanh": tanh(x)
        - "silu": x * sigmoid(x)
        - "gelu": x * (1 + erf(x / sqrt(2))) / 2, exact as PyTorch's default (arXiv:1606.08415)
        - "hard_swish": x * min(max(x + 3, 0), 6) / 6 (arXiv:1905.02244)

        Names and defaults are PyTorch's (torch.nn.functional), "clip" is ONNX's. A NaN stays one;
        infinities give the limits.
    residual : array of the result's shape and dtype, optional
        Added before the activation, as in a ResNet's block: relu(conv + bias + residual).
    layout : "NCHW" or "NHWC"
    algorithm : "auto" or "direct"
        "auto" takes Winograd's F(4x4, 3x3) or F(2x2, 3x3), or at stride 2 its F(4x4, 2x2) over the
        image's four phases, where it pays (3x3, dilation 1, from 16 channels on, all but the
        smallest images; `explain_plan` tells). Where up to about half of the inputs are zero, as
        after a ReLU, its rounding errors have at most twice the rms, and four times the maximum, of
        those of "direct", which sums the terms as they are; sparser inputs, in which direct sums
        round less, raise the ratio (README). They are relative to the largest values around:
        integers are no longer exact, and smooth images through difference kernels lose more. A NaN
        or an infinity reaches the same outputs with both.
    out : array of the result's shape and dtype, optional
        Receives the result; it may overlap x and residual, or be one of them.
    threads : int, optional
        Exactly so many; by default as many as `set_num_threads` says, or one for small work.

    Returns
    -------
    (N, K, OH, OW) array, or (N, OH, OW, K) with ``layout="NHWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    The bits of the result depend on neither threads, batch size nor processor. A direct sum of n
    terms is within (n + 2) * eps * sum(abs(w * x)) of the exact one; an activation of it is
    within 5 units in the last place.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> ones = np.ones((1, 1, 3, 3), np.float32)
    >>> conv2d(image, ones, padding="same")[0, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]], dtype=float32)
    >>> conv2d(image, ones, padding="same", residual=-4 * image, activation="relu6")[0, 0]
    array([[6., 6., 4.],
           [6., 6., 6.],
           [0., 5., 0.]], dtype=float32)
    """
    return _convolved(
        Conv2dPlan, "conv2d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def conv3d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    residual=None,
    layout="NCDHW",
    algorithm="auto",
    out=None,
    threads=None,
):
    """Cross-correlate a batch of volumes with K kernels: `conv2d` along three axes.

    ``y[n, k, o, p, q] = bias[k] + sum over r, c, i, j of weight[k, c, r, i, j] * padded[
    n, c, o * stride + r * dilation, p * stride + i * dilation, q * stride + j * dilation]``.

    Parameters
    ----------
    x : (N, C, D, H, W) array, float32 or float64
        Volumes or videos; (N, D, H, W, C) with ``layout="NDHWC"``.
    weight : (K, C // groups, kd, kh, kw) array of x's dtype
        Kernels, in both layouts.
    bias : (K,) array of x's dtype, optional
    stride, dilation : int or (slices, rows, columns)
    padding : int, (slices, rows, columns), a pair for each of them, "same" or "valid"
    groups : int
    padding_mode : str or (slices, rows, columns)
    activation, residual, algorithm, out, threads
        As in `conv2d`.
    layout : "NCDHW" or "NDHWC"

    Returns
    -------
    (N, K, OD, OH, OW) array, or (N, OD, OH, OW, K) with ``layout="NDHWC"``, of x's dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        When an argument does not fit, before anything is written.

    Notes
    -----
    The slices that an output sees are more channels of a convolution in two dimensions, so
    "auto" takes Winograd's transforms where `conv2d` would; bits and errors are as there.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 2, 2)
    >>> conv3d(x, np.ones((1, 1, 2, 2, 1), np.float32))
    array([[[[[12., 16.]]]]], dtype=float32)
    """
    return _convolved(
        Conv3dPlan, "conv3d", x, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, residual, layout, algorithm, out, threads,
    )  # fmt: skip


def _convolved(
    make_plan, function, x, weight, bias, stride, padding, dilation, groups,
    padding_mode, activation, residual, layout, algorithm, out, threads,
):  # fmt: skip
    """One call; small ones like an earlier one are not planned again."""
    key = None
    # Exact types: 1.0 is equal to 1, and no stride; a list of borders has no hash.
    if (
        type(x) is type(weight) is np.ndarray
        and type(stride) is type(padding) is type(dilation) is type(groups) is int
        and type(padding_mode) is type(layout) is type(algorithm) is str
        and bias is residual is activation is threads is None
    ):
        key = (
            x.shape, weight.shape, x.dtype.char, stride, padding, dilation, groups,
            padding_mode, layout, algorithm, _config.selected_isa or _config.isa(),
        )  # fmt: skip
        call = _small_calls.get(key)
        if call is not None:
            result = call(x, out, weight)
            if result is not None:
                return result
    plan = make_plan(
        function, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm,
    )  # fmt: skip
    result = plan(x, out, threads, residual)
    plan.give_back()
    if key is not None and (call := plan.small_call()) and call.isa is key[-1]:
        if len(_small_calls) >= _plan.CACHED_PLANS:
            _small_calls.clear()
        _small_calls[key] = call
    return result


def plan_conv1d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCW",
    algorithm="auto",
):
    """Prepare a `conv1d` to call many times: weights are packed once; see `plan_conv2d`.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv1d`.

    Returns
    -------
    Conv1dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv1d(np.ones((4, 3, 3), np.float32), padding=1)
    >>> plan(np.ones((2, 3, 100), np.float32)).shape
    (2, 4, 100)
    """
    return Conv1dPlan(
        "plan_conv1d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip


def plan_conv2d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCHW",
    algorithm="auto",
):
    """Prepare a convolution to call many times: weights are packed once.

    The plan keeps copies of weight and bias and is safe to call from several threads at once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv2d`.

    Returns
    -------
    Conv2dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and image size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv2d(np.ones((4, 3, 3, 3), np.float32), padding=1, activation="relu")
    >>> plan(np.ones((2, 3, 32, 32), np.float32)).shape
    (2, 4, 32, 32)
    """
    return Conv2dPlan(
        "plan_conv2d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip


def plan_conv3d(
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    *,
    padding_mode="zeros",
    activation=None,
    layout="NCDHW",
    algorithm="auto",
):
    """Prepare a `conv3d` to call many times: weights are packed once; see `plan_conv2d`.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, layout, algorithm
        As in `conv3d`.

    Returns
    -------
    Conv3dPlan
        Call it as ``plan(x, out=None, threads=None, residual=None)`` for any batch and size.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_conv3d(np.ones((4, 3, 3, 3, 3), np.float32), padding=1)
    >>> plan(np.ones((2, 3, 8, 8, 9), np.float32)).shape
    (2, 4, 8, 8, 9)
    """
    return Conv3dPlan(
        "plan_conv3d", weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=True,
    )  # fmt: skip


class ConvPlan:
    """A convolution with its weights, in any number of dimensions."""

    _dims = None
    _words = PADDINGS
    _dtypes = DTYPES
    # Types are compared by their char, which is the same in either byte order: readers differ.
    _read = staticmethod(_arrays.readable)

    def __init__(
        self, function, weight, bias, stride, padding, dilation, groups,
        padding_mode, activation, layout, algorithm, copy=False, turned=False,
    ):  # fmt: skip
        self._function = function
        dims, layouts = self._dims, _geometry.LAYOUTS[self._dims]
        # A transposed convolution's weights begin with its input channels.
        names, side = ("C, K", "input") if turned else ("K, C", "output")
        expected = f"({names} // groups, {', '.join(KERNELS[-dims:])})"
        weight = self._read(function, "weight", weight, self._dtypes, expected)
        self._stride = _geometry.pair(function, "stride", stride, 1, dims)
        self._padding = _geometry.padding(
            function, padding, dims, PADDINGS if turned else self._words
        )
        self._dilation = _geometry.pair(function, "dilation", dilation, 1, dims)
        self._groups = _geometry.integer(function, "groups", groups, 1)
        self._border = _geometry.borders(function, "padding_mode", padding_mode, dims)
        self._activation = _geometry.activation(function, activation, weight.dtype)
        self._layout = _geometry.choice(function, "layout", layout, tuple(layouts))
        self._algorithm = _geometry.choice(function, "algorithm", algorithm, ALGORITHMS)
        if 0 in weight.shape[not turned :]:
            raise ValueError(
                f"{function}: weight has shape {weight.shape}, expected {expected} of at least "
                f"one channel{LEAST[dims]}"
            )
        if len(weight) % self._groups:
            raise ValueError(
                f"{function}: weight has {len(weight)} {side} channels, expected a multiple of "
                f"groups={self._groups}"
            )
        self._keeps = copy
        self._weight = weight.copy() if copy else weight
        if bias is not None:
            bias = self.checked_bias(bias, len(weight))
        self._bias = bias.copy() if copy and bias is not None else bias
        self._packed = {}
        self._moderate = None
        self._call = None  # the last one's, ready for arrays like those

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
        call = self._call
        if call is not None and residual is None and self._is_ready(call, threads):
            result = call(x, out, None)
            if result is not None:
                return result
        function = self._function
        x, geometry, residual, threads = self._checked_call(x, threads, residual)
        result, finish = _arrays.writable(
            function, out, geometry.shape, x.dtype, (x, self._weight, self._bias, residual)
        )
        if result.size:
            task, threads = self.planned(geometry, threads)
            packed, bias = self.compute(task, x, residual, result, threads)
            if residual is None:
                self._call = _core.Conv2dCall(
                    task, threads, _config.isa(), _plan.conv2d_seconds(geometry), x.dtype,
                    (x.shape, self._weight.shape, geometry.shape), packed, bias,
                )  # fmt: skip
        return finish()

    def planned(self, geometry, threads):
        """The task of a geometry for these weights, and on how many threads."""
        # The core counts its scratch memory in 64 bits: more is refused before it counts.
        seen = "the input under a kernel"
        _arrays.check_memory(self._function, seen, geometry.seen, self._weight.dtype)
        winograd = self._winograd_refused(geometry) is None
        task, threads = _plan.conv2d(geometry, winograd, threads)
        _arrays.check_scratch(self._function, task, threads)
        return task, threads

    def compute(self, task, x, residual, result, threads):
        """Run a planned task; gives the packed weights and the bias, as bytes."""
        packed, bias = self._packed_for(task), _arrays.as_bytes(self._bias)
        residual = _arrays.as_bytes(residual)
        task(_arrays.as_bytes(x), packed, bias, residual, _arrays.as_bytes(result), threads)
        return packed, bias

    @staticmethod
    def _is_ready(call, threads):
        """Is a planned call one for these threads, and for the instruction set in use?"""
        if threads is None and call.seconds <= _plan.SHARED_SECONDS:
            threads = 1
        elif threads is None:
            threads = _plan.share(threads, call.seconds)
        elif type(threads) is not int:  # 1.0 is equal to 1, and no number of threads
            return False
        return call.threads == threads and call.isa is _config.selected_isa

    def __getstate__(self):
        """Pickled, it packs its weights and plans its calls anew."""
        return {**self.__dict__, "_packed": {}, "_call": None}

    def repack(self):
        """Look at the weights again: their values have changed."""
        self._packed, self._moderate = {}, None

    def give_back(self):
        """Let the next plain call have the memory of the packed weights."""
        for packed in self._packed.values():
            _arrays.give_buffer(packed)

    def small_call(self):
        """The last call for any weights of the same shape, if it was a small one."""
        call = self._call
        if call is None or call.threads > 1 or call.seconds > _plan.SHARED_SECONDS:
            return None
        if self._by_slices() is not self._weight:
            return None
        return call.packing()

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
            task.pack(_arrays.as_bytes(self._by_slices()), packed)
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
