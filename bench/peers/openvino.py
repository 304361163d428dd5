"""OpenVINO: a model of one layer compiled for latency, its tensors bound ahead."""

import numpy as np
import openvino
from openvino import opset13 as ops

from . import result_like

VERSION = openvino.__version__.split("-")[0]

_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_CORE = openvino.Core()


def prepare(case, arrays, threads):
    if case.operation not in _LAYERS or case.dtype != "float32":
        return {}
    x = arrays["x"]
    if case.arguments["layout"] == "NHWC":
        return {"openvino nhwc": _compile(case, arrays, x, threads, nhwc=True)}
    run = _compile(case, arrays, np.ascontiguousarray(x.transpose(_TO_NHWC)), threads, nhwc=True)
    return {
        "openvino": _compile(case, arrays, x, threads),
        "openvino nhwc": lambda: run().transpose(_TO_NCHW),
    }


def _compile(case, arrays, x, threads, nhwc=False):
    """Give the call that computes the row from `x` into a result array of the same layout."""
    given = node = ops.parameter(x.shape, openvino.Type.f32)
    if nhwc:  # the compiler makes these transpositions part of the layer
        node = ops.transpose(node, _TO_NCHW)
    node = _LAYERS[case.operation](node, case, arrays)
    if nhwc:
        node = ops.transpose(node, _TO_NHWC)
    model = _CORE.compile_model(openvino.Model([node], [given]), "CPU", {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    })
    request = model.create_infer_request()
    result = result_like(np.broadcast_to(x.dtype.type(0), tuple(model.output().shape)))
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(result, shared_memory=True))

    def run(x=x):  # the tensors do not keep their arrays alive
        request.infer(share_outputs=True)
        return result

    return run


def _conv2d(node, case, arrays):
    arguments, weight = case.arguments, arrays["weight"]
    geometry = ([arguments["stride"]] * 2, *[[arguments["padding"]] * 2] * 2,
                [arguments["dilation"]] * 2)
    groups = arguments["groups"]
    if groups == 1:
        return ops.convolution(node, ops.constant(weight), *geometry)
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return ops.group_convolution(node, ops.constant(grouped), *geometry)


def _max_pool2d(node, case, arrays):
    stride, padding, size = _window(case)
    return ops.max_pool(node, stride, [1, 1], padding, padding, size).output(0)


def _avg_pool2d(node, case, arrays):
    stride, padding, size = _window(case)
    return ops.avg_pool(node, stride, padding, padding, size, exclude_pad=False)


def _window(case):
    return ([case.arguments[name]] * 2 for name in ("stride", "padding", "kernel_size"))


_LAYERS = {"conv2d": _conv2d, "max_pool2d": _max_pool2d, "avg_pool2d": _avg_pool2d}
