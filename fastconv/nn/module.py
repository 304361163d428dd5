"""What all layers are: parameters, buffers, names, and the two passes over a batch."""

import inspect
import math
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np

from fastconv import _arrays, _geometry, _threads

FLOATS = ("float32", "float64")


def checked_number(function, name, value, least=0, below=math.inf):
    """A number from `least` to less than `below`, as it is."""
    if not least <= _arrays.number(function, name, value) < below:
        rest = "" if below == math.inf else f" and less than {below}"
        raise ValueError(f"{function}: {name} is {value}, expected at least {least}{rest}")
    return value


def checked_seed(function, seed):
    """A seed as what generators begin with: None, or integers that are not negative."""
    try:
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError):
        raise ValueError(
            f"{function}: seed is {_arrays.shown(seed)}, expected an integer of at least 0"
        ) from None


def _contiguous(array):
    """The array, as a layer of somebody else's may give it, as layers read it."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def dtype_of(model):
    return next((each.value.dtype for each in model.parameters()), np.dtype(np.float32))


def floats(x, dtype):
    """Images as a model takes them: bytes are divided by 255."""
    return x.astype(dtype) / dtype.type(255) if x.dtype == np.uint8 else x


class Parameter:
    """An array that is learned, `value`, and the gradient of the loss by it, `grad`."""

    __slots__ = ("grad", "value")

    def __init__(self, value):
        self.value = value
        self.grad = np.zeros_like(value)

    def move(self, value, grad):
        """Live in other memory of the same shape, with the same content."""
        value[...], grad[...] = self.value, self.grad
        self.value, self.grad = value, grad


class Pool:
    """Memory for gradients, which are short-lived: the layers of a model share a few blocks."""

    def __init__(self):
        self._free, self._taken = [], {}  # the latter by the owner of the memory

    def __reduce__(self):
        """Pickled or copied, it is empty."""
        return Pool, ()

    def take(self, shape, dtype):
        """Give an array of any content; it is the caller's until it is given back."""
        size = math.prod(shape) * dtype.itemsize
        sizes = [block.size for block in self._free]
        fitting = [each for each in sizes if each >= size]
        if fitting:
            block = self._free.pop(sizes.index(min(fitting)))
        else:
            if sizes:  # outgrown: a larger one replaces it
                del self._free[sizes.index(max(sizes))]
            block = _arrays.empty((size,), np.uint8)
        array = block[:size].view(dtype).reshape(shape)
        self._taken[id(array.base)] = block
        return array

    def give_back(self, array):
        """Let others have the memory of an array that came from here; any other is ignored."""
        block = self._taken.pop(id(array.base), None)
        if block is not None:
            self._free.append(block)

    def reset(self, kept):
        """Take everything back but what an array lives in, as one that a layer gave before."""
        mine = self._taken.pop(id(kept.base), None)
        self._free += self._taken.values()
        self._taken = {} if mine is None else {id(kept.base): mine}


class Module:
    """A layer, or a model of several.

    ``forward(x)`` gives the result, ``backward(dy)`` the gradient by x, given the one by the
    result; it also sets ``grad`` of every parameter (sets, not adds). Both live in memory of the
    module, which the next call uses again: copy what you keep. One module serves one thread of
    Python at a time.

    A layer of one's own defines ``_forward(x, threads)`` and ``_backward(dy, threads,
    input_gradient)``, which may trust their arrays, ``output_shape(shape)`` if it is another than
    x's, and, if it has any, puts each `Parameter` into ``self._params`` by its name.

    The first axis is that of samples; arrays are float32 or, after ``to("float64")``, float64. A
    TypeError or ValueError names the layer, what it got and what it expected.
    """

    arguments = ()  # names of the constructor's arguments, which are attributes
    training = True
    name = ""  # its place in a model: "2", or "3.0" inside of layer 3
    _x = _y = None  # the last batch and its result

    def __init_subclass__(cls):
        """Refuse what would go unseen: PyTorch's way to write a model."""
        for name in ("forward", "backward"):
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}: {name} is Module's, expected _{name}: see Module")

    def __init__(self):
        self._params = {}  # by their names in PyTorch
        self._statistics = {}  # arrays that belong to the state, but are not learned
        self._memory, self._views = {}, {}
        self._pool = Pool()

    def __repr__(self):
        """What is not a default."""
        config, shown = self.config(), []
        for key, parameter in inspect.signature(type(self)).parameters.items():
            if key not in config:
                continue
            if parameter.default is parameter.empty:
                shown.append(repr(config[key]))
            elif config[key] != parameter.default:
                shown.append(f"{key}={config[key]!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __call__(self, x, threads=None):
        """Do `forward`."""
        return self.forward(x, threads)

    def forward(self, x, threads=None):
        """Give the result for a batch; it is overwritten by the next call."""
        return self._run(*self._checked(x, threads))

    def backward(self, dy, threads=None, input_gradient=True):
        """Give the gradient by the last batch (None unless asked for); set those by parameters."""
        dy, threads = self._checked(dy, threads, "dy")
        self._pool.reset(dy)
        return self._derive(dy, threads, input_gradient)

    def predict(self, x, batch_size=256, threads=None):
        """Give the results for any number of samples, as a new array, as `eval` has them.

        Images of uint8 are divided by 255, as `fit` does.
        """
        x, threads = self._checked(x, threads, dtypes=(*FLOATS, "uint8"))
        batch_size = _geometry.integer(self._label(), "batch_size", batch_size, 1)
        result = None
        with self._evaluating():
            for first in range(0, len(x), batch_size):
                y = self._run(floats(x[first : first + batch_size], dtype_of(self)), threads)
                if result is None:
                    result = np.empty((len(x), *y.shape[1:]), y.dtype)
                result[first : first + batch_size] = y
        self._y = None  # no batch to derive
        return result

    @contextmanager
    def _evaluating(self):
        """`eval`, and in the end every module as it was."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def train(self, mode=True):
        """Compute as in training (dropout, statistics of the batch); `eval` goes back."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Compute as after training: the same as ``train(False)``."""
        return self.train(False)

    def children(self):
        """Give the modules inside of this one, by name."""
        return {}

    def modules(self):
        """Give this module and all inside of it, in the order of computation."""
        found = [self]
        for child in self.children().values():
            found += child.modules()
        return found

    def leaves(self):
        """Give the layers that compute, in order."""
        return [module for module in self.modules() if not module.children()]

    def parameters(self):
        """Give all parameters, in order."""
        return [each for module in self.modules() for each in module._params.values()]

    def initialize(self, seed=None):
        """Draw all parameters anew, as PyTorch does; the same seed gives the same ones."""
        random = np.random.default_rng(checked_seed(self._label(), seed))
        for module in self.modules():
            module._initialize(random)
        return self

    def to(self, dtype):
        """Compute in "float32" or "float64"."""
        try:
            fits = dtype is not None and np.dtype(dtype).name in FLOATS
        except TypeError:
            fits = False
        if not fits:
            raise TypeError(f"{self._label()}: dtype is {dtype}, expected float32 or float64")
        for module in self.modules():
            module._y = None
            for each in module._params.values():
                each.value, each.grad = each.value.astype(dtype), each.grad.astype(dtype)
            for key, value in module._statistics.items():
                if value.dtype.kind == "f":
                    module._statistics[key] = value.astype(dtype)
        return self

    def state_dict(self):
        """Give copies of all parameters and statistics, by PyTorch's names ("0.weight")."""
        return {key: array.copy() for key, array in self._state().items()}

    def load_state_dict(self, state):
        """Take parameters and statistics from arrays by PyTorch's names; all or none.

        A PyTorch model's are ``{key: value.numpy() for key, value in model.state_dict().items()}``.
        """
        label, mine = self._label(), self._state()
        if not isinstance(state, Mapping):
            raise TypeError(f"{label}: state is {_arrays.shown(state)}, expected a dict of arrays")
        for word, left in (("lacks", mine.keys() - state), ("has", state.keys() - mine.keys())):
            if left:
                raise ValueError(
                    f"{label}: state {word} {', '.join(sorted(left))}, expected {', '.join(mine)}"
                )
        arrays = {key: np.asarray(value) for key, value in state.items()}
        for key, array in arrays.items():
            if array.shape != mine[key].shape or array.dtype.kind not in "fiu":
                raise ValueError(
                    f"{label}: {key} has shape {array.shape} and dtype {array.dtype}, expected "
                    f"{mine[key].shape} of {mine[key].dtype}"
                )
        for key, array in arrays.items():
            mine[key][...] = array
        return self

    def config(self):
        """Give the constructor's arguments."""
        return {name: getattr(self, name) for name in self.arguments}

    def summary(self, shape):
        """Give a table: results, parameters and multiply-adds for a sample of shape (C, H, W)."""
        if not isinstance(shape, tuple | list):
            raise TypeError(f"summary: shape is {_arrays.shown(shape)}, expected (C, H, W)")
        shape = [_geometry.integer("summary", "shape", n, 1) for n in shape]
        rows = [("layer", "", "result", "parameters", "multiply-adds")]
        totals = [0, 0]
        self._summarize((1, *shape), rows, totals)
        rows.append(("total", "", "", f"{totals[0]:,}", f"{totals[1]:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i > 2 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def save(self, path, metadata=None):
        """Write layers and weights into a .safetensors or .npz file, whole or not at all.

        `metadata` is anything that JSON holds; `load` gives it back as ``model.metadata``, keys as
        text and tuples as lists.
        """
        from fastconv.nn import serialization

        serialization.save(self, path, metadata)

    def output_shape(self, shape):
        """The shape of the result for x of this shape; a ValueError where it does not fit."""
        return shape

    def _summarize(self, shape, rows, totals):
        result = self.output_shape(shape)
        parameters = sum(each.value.size for each in self._params.values())
        work = self._multiply_adds(result)
        shown = "x".join(map(str, result[1:]))
        rows.append((self.name or "0", repr(self), shown, f"{parameters:,}", f"{work:,}"))
        totals[0] += parameters
        totals[1] += work
        return result

    def _multiply_adds(self, result):
        """How many make a result of this shape."""
        return 0

    def _initialize(self, random):
        """Draw this module's own parameters."""

    def _state(self):
        found = {}
        for module in self.modules():
            prefix = f"{module.name}." if module is not self and module.name else ""
            for key, each in module._params.items():
                found[prefix + key] = each.value
            for key, array in module._statistics.items():
                found[prefix + key] = array
        return found

    def _run(self, x, threads, *activation):
        """Do `_forward`, and remember what `_derive` needs."""
        weight, self._y = self._params.get("weight"), None
        if weight is not None and weight.value.dtype != x.dtype:
            raise TypeError(
                f"{self._label()}: x has dtype {x.dtype}, expected weight's, {weight.value.dtype}"
            )
        y = _contiguous(self._forward(x, threads, *activation))
        self._x, self._y = x, y
        return y

    def _derive(self, dy, threads, *options):
        """Do `_backward`, which may trust that dy is like the last result."""
        y = self._y
        if y is None:
            raise ValueError(f"{self._label()}: backward has no result, expected forward before it")
        if dy.shape != y.shape or dy.dtype != y.dtype:
            raise (ValueError if dy.dtype == y.dtype else TypeError)(
                f"{self._label()}: dy is {dy.shape} of {dy.dtype}, expected the result's "
                f"{y.shape} of {y.dtype}"
            )
        dx = self._backward(dy, threads, *options)
        return dx if dx is None else _contiguous(dx)

    def _checked(self, x, threads, name="x", dtypes=FLOATS):
        label = self._label()
        if dtypes is FLOATS and getattr(x, "dtype", None) == np.uint8:
            raise TypeError(
                f"{label}: {name} has dtype uint8, expected float32 or float64, of images "
                f"np.float32({name}) / 255"
            )
        x = _arrays.readable(label, name, x, dtypes)
        if not x.size:
            raise ValueError(f"{label}: {name} has shape {x.shape}, expected at least a sample")
        return x, threads if threads is None else _threads.checked(label, "threads", threads)

    def _label(self):
        kind = type(self).__name__
        return f"layer {self.name} ({kind})" if self.name else kind

    def _refuse(self, shape, expected):
        raise ValueError(f"{self._label()}: x has shape {tuple(shape)}, expected {expected}")

    def _buffer(self, key, shape, dtype):
        """Memory of this module for one purpose; allocated again only for a larger batch."""
        view = self._views.get(key)
        if view is None or view.shape != shape or view.dtype != dtype:
            size = math.prod(shape) * dtype.itemsize
            memory = self._memory.get(key)
            if memory is None or memory.size < size:
                memory = self._memory[key] = _arrays.empty((size,), np.uint8)
            view = self._views[key] = memory[:size].view(dtype).reshape(shape)
        return view
