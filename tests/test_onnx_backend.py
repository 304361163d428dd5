"""ONNX's own test runner: its cases of one convolution or pooling, computed by fastconv.

The backend maps a node's inputs and attributes to a function and nothing more.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import fastconv

onnx = pytest.importorskip("onnx")
# Reference results of other operators overflow when the cases are collected.
with np.errstate(all="ignore"):
    import onnx.backend.base
    import onnx.backend.test
    import onnx.backend.test.loader
    from onnx import helper, numpy_helper


class Attributes(dict):
    """A node's attributes, and what several operators do with them."""

    def __init__(self, node, dims, kernel=None):
        super().__init__((a.name, helper.get_attribute_value(a)) for a in node.attribute)
        self.dims = dims
        self.kernel = tuple(self.get("kernel_shape", kernel or ()))
        self.stride = tuple(self.get("strides", (1,) * dims))
        self.dilation = tuple(self.get("dilations", (1,) * dims))

    def padding(self, size):
        """Pairs for each axis; ONNX has all beginnings first. "same" is SAME_UPPER here."""
        auto = self.get("auto_pad", b"NOTSET").decode()
        if auto == "SAME_UPPER":
            return "same"
        if auto == "VALID":
            return "valid"
        if auto == "SAME_LOWER":
            axes = zip(size, self.kernel, self.stride, self.dilation, strict=True)
            totals = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in axes]
            return tuple((total - total // 2, total // 2) for total in totals)
        pads = self.get("pads", (0,) * 2 * self.dims)
        return tuple(zip(pads[: self.dims], pads[self.dims :], strict=True))

    def window(self, x):
        """The arguments of a pooling."""
        return {
            "kernel_size": self.kernel, "stride": self.stride, "dilation": self.dilation,
            "padding": self.padding(x.shape[2:]), "ceil_mode": bool(self.get("ceil_mode", 0)),
        }  # fmt: skip

    def convolution(self, x):
        return {
            "stride": self.stride, "dilation": self.dilation, "groups": self.get("group", 1),
            "padding": self.padding(x.shape[2:]),
        }  # fmt: skip


def named(name, dims):
    """`name` for one, two or three dimensions."""
    return getattr(fastconv, name.format(dims))


def conv(node, x, weight, bias=None):
    a = Attributes(node, x.ndim - 2, weight.shape[2:])
    return named("conv{}d", a.dims)(x, weight, bias, **a.convolution(x))


def conv_integer(node, x, weight, x_zero_point=0, weight_zero_point=0):
    a = Attributes(node, x.ndim - 2, weight.shape[2:])
    return fastconv.conv_integer(
        x, weight, x_zero_point=x_zero_point, weight_zero_point=weight_zero_point,
        **a.convolution(x),
    )  # fmt: skip


def qlinear_conv(
    node, x, x_scale, x_zero_point, weight, weight_scale, weight_zero_point, y_scale, y_zero_point,
    bias=None,
):  # fmt: skip
    a = Attributes(node, x.ndim - 2, weight.shape[2:])
    return fastconv.conv_quantized(
        x, weight, bias, x_scale=x_scale, x_zero_point=x_zero_point, weight_scale=weight_scale,
        weight_zero_point=weight_zero_point, y_scale=y_scale, y_zero_point=y_zero_point,
        dtype=y_zero_point.dtype, **a.convolution(x),
    )  # fmt: skip


def conv_transpose(node, x, weight, bias=None):
    a = Attributes(node, x.ndim - 2, weight.shape[2:])
    arguments = a.convolution(x)
    extra = tuple(a.get("output_padding", (0,) * a.dims))
    auto, size = a.get("auto_pad", b"NOTSET").decode(), a.get("output_shape")
    if size is None and auto.startswith("SAME"):
        size = [n * s for n, s in zip(x.shape[2:], a.stride, strict=True)]
    if size is not None:  # what padding makes of the whole result
        axes = zip(x.shape[2:], size, a.kernel, a.stride, a.dilation, extra, strict=True)
        cuts = [(n - 1) * s + (k - 1) * d + 1 + e - o for n, o, k, s, d, e in axes]
        # Cutting less than nothing is more of output_padding.
        extra = tuple(e - min(0, cut) for e, cut in zip(extra, cuts, strict=True))
        # An odd one is the last for SAME_UPPER alone.
        halves = [(max(0, cut) // 2, (max(0, cut) + 1) // 2) for cut in cuts]
        last = auto == "SAME_UPPER"
        arguments["padding"] = tuple(each if last else each[::-1] for each in halves)
    return named("conv_transpose{}d", a.dims)(x, weight, bias, output_padding=extra, **arguments)


def causal_conv_with_state(node, x, weight, bias=None, state=None):
    a = Attributes(node, 1, weight.shape[2:])
    activation = {"none": None, "swish": "silu"}.get(*2 * (a.get("activation", b"none").decode(),))
    # float16 is computed in float32, as the operator's definition does.
    wide = [
        each if each is None or each.dtype != np.float16 else each.astype(np.float32)
        for each in (x, weight, bias, state)
    ]
    x_wide, weight, bias, state = wide
    stream = fastconv.CausalConv1d(
        weight, bias, a.dilation, groups=len(weight), activation=activation
    )
    return tuple(each.astype(x.dtype) for each in stream(x_wide, state))


def max_pool(node, x):
    a = Attributes(node, x.ndim - 2)
    pool = named("max_pool{}d", a.dims)
    if len(node.output) == 1:
        return pool(x, **a.window(x))
    y, indices = pool(x, **a.window(x), return_indices=True)
    size = x.shape[2:]
    if a.get("storage_order", 0):  # flat with the first axis fastest
        indices = np.ravel_multi_index(np.unravel_index(indices, size), size, order="F")
    return y, indices + plane_starts(x.shape)


def max_unpool(node, x, indices, output_shape=None):
    a = Attributes(node, x.ndim - 2)
    padding = a.padding(x.shape[2:])
    axes = zip(x.shape[2:], a.kernel, a.stride, padding, strict=True)
    shape = (*x.shape[:2], *((n - 1) * s + k - sum(pad) for n, k, s, pad in axes))
    if output_shape is None:
        return named("max_unpool{}d", a.dims)(
            x, indices - plane_starts(shape), a.kernel, a.stride, padding
        )
    # Indices are flat in the smaller result, as the pooling knows it.
    places = np.unravel_index(indices, shape)
    flat = np.ravel_multi_index(places, tuple(output_shape))
    return named("max_unpool{}d", a.dims)(
        x, flat - plane_starts(output_shape), a.kernel, a.stride, padding,
        output_size=tuple(map(int, output_shape)),
    )  # fmt: skip


def plane_starts(shape):
    """ONNX counts indices through the whole tensor, fastconv through a channel's plane."""
    n, c, *size = map(int, shape)
    starts = np.arange(n * c, dtype=np.int64) * int(np.prod(size))
    return starts.reshape(n, c, *(1 for _ in size))


def average_pool(node, x):
    a = Attributes(node, x.ndim - 2)
    return named("avg_pool{}d", a.dims)(
        x, count_include_pad=bool(a.get("count_include_pad", 0)), **a.window(x)
    )


def lp_pool(node, x):
    a = Attributes(node, x.ndim - 2)
    return named("lp_pool{}d", a.dims)(x, a.get("p", 2), **a.window(x))


def global_lp_pool(node, x):
    a = Attributes(node, x.ndim - 2)
    return named("lp_pool{}d", a.dims)(x, a.get("p", 2), x.shape[2:])


def col2im(node, x, image_shape, block_shape):
    block = tuple(map(int, block_shape))
    a = Attributes(node, len(block), block)
    size = tuple(map(int, image_shape))
    return fastconv.fold(x, size, block, a.dilation, a.padding(size), a.stride)


OPERATORS = {
    "Conv": conv,
    "ConvInteger": conv_integer,
    "QLinearConv": qlinear_conv,
    "ConvTranspose": conv_transpose,
    "CausalConvWithState": causal_conv_with_state,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": lambda node, x: fastconv.global_avg_pool(x),
    "GlobalMaxPool": lambda node, x: fastconv.global_max_pool(x),
    "GlobalLpPool": global_lp_pool,
    "Col2Im": col2im,
}
# Around AveragePool in the models of AvgPool1d.
SHAPES = {
    "Unsqueeze": lambda node, x: np.expand_dims(x, tuple(Attributes(node, 0)["axes"])),
    "Squeeze": lambda node, x: np.squeeze(x, tuple(Attributes(node, 0)["axes"])),
}


class Prepared(onnx.backend.base.BackendRep):
    def __init__(self, graph):
        self.graph = graph

    def run(self, inputs, **kwargs):
        graph = self.graph
        values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        names = [each.name for each in graph.input if each.name not in values]
        values.update(zip(names, inputs, strict=True))
        for node in graph.node:
            function = OPERATORS.get(node.op_type) or SHAPES[node.op_type]
            result = function(node, *(values[name] if name else None for name in node.input))
            results = result if isinstance(result, tuple) else (result,)
            values.update(zip(node.output, results, strict=False))
        return [values[each.name] for each in graph.output]


class Backend(onnx.backend.base.Backend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return Prepared(model.graph)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


KINDS = ("node", "pytorch-converted", "pytorch-operator")
# As of onnx 1.23; later versions may have more.
LEAST = {
    "AveragePool": 27, "CausalConvWithState": 13, "Col2Im": 5, "Conv": 33, "ConvInteger": 2,
    "ConvTranspose": 14, "GlobalAveragePool": 2, "GlobalLpPool": 0, "GlobalMaxPool": 2, "LpPool": 8,
    "MaxPool": 28, "MaxUnpool": 2, "QLinearConv": 1,
}  # fmt: skip


def operator(case):
    """The one operator of ours in a case of ONNX's, or None."""
    model = case.model
    if model is None:  # it lies in a file
        path = Path(case.model_dir, "model.onnx")
        if not path.exists():
            return None
        model = onnx.load(path)
    names = [node.op_type for node in model.graph.node if node.op_type not in SHAPES]
    return names[0] if len(names) == 1 and names[0] in OPERATORS else None


with np.errstate(all="ignore"):
    SELECTED = {
        case.name: operator(case)
        for kind in KINDS
        for case in onnx.backend.test.loader.load_model_tests(kind=kind)
        if operator(case)
    }


def runner_cases():
    """The runner's classes of test cases, without the thousands that are not selected."""
    with np.errstate(all="ignore"):
        runner = onnx.backend.test.BackendTest(Backend, __name__)
    runner.include(f"^({'|'.join(SELECTED)})_cpu$")
    classes = runner.test_cases
    for each in classes.values():
        for name, test in list(vars(each).items()):
            if getattr(test, "__unittest_skip__", False):
                delattr(each, name)
    return classes


CASES = runner_cases()
globals().update(CASES)


def test_number_of_cases(capsys):
    counts = Counter(SELECTED.values())
    run = [name for each in CASES.values() for name in vars(each) if name.startswith("test_")]
    assert len(run) == counts.total() == len(SELECTED)
    assert {name: min(counts[name], LEAST[name]) for name in OPERATORS} == LEAST
    with capsys.disabled():
        each = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"\nONNX {onnx.__version__}: {counts.total()} cases: {each}")


# What ONNX has no case of, worked by hand: [1, 2] spread by [1, 10, 100] is [1, 12, 120, 200].
@pytest.mark.parametrize(("operator", "attributes", "inputs", "expected"), [
    ("ConvTranspose", {"auto_pad": "SAME_UPPER"}, ([1, 2], [1, 10]), [1, 12]),
    ("ConvTranspose", {"auto_pad": "SAME_LOWER"}, ([1, 2], [1, 10]), [12, 20]),
    ("ConvTranspose", {"auto_pad": "SAME_LOWER", "strides": [2]}, ([1, 2], [1, 10, 100]),
     [10, 102, 20, 200]),
    ("ConvTranspose", {"output_shape": [3]}, ([1, 2], [1, 10, 100]), [12, 120, 200]),
    ("ConvTranspose", {"output_shape": [3], "auto_pad": "SAME_UPPER"}, ([1, 2], [1, 10, 100]),
     [1, 12, 120]),
    ("ConvTranspose", {"output_shape": [1]}, ([1, 2], [1, 10, 100]), [120]),
    ("ConvTranspose", {"output_shape": [5], "strides": [2]}, ([1, 2], [1, 10]), [1, 10, 2, 20, 0]),
    ("GlobalLpPool", {}, ([3, -4],), [5]),
    ("GlobalLpPool", {"p": 1}, ([3, -4],), [7]),
])  # fmt: skip
def test_by_hand(operator, attributes, inputs, expected):
    names = ["x", "weight"][: len(inputs)]
    node = helper.make_node(operator, names, ["y"], **attributes)
    values = [np.array(each, np.float32).reshape(1, 1, -1) for each in inputs]
    assert OPERATORS[operator](node, *values).ravel().tolist() == expected
