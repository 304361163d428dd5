"""ONNX Runtime: a session of one node, all optimisations on, result memory bound ahead.

Layers of 8-bit integers have a node of its own domain for NHWC.
"""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from . import result_like

VERSION = onnxruntime.__version__

_OPERATORS = {
    **{f"conv{dims}d": "Conv" for dims in (1, 2, 3)},
    **{f"max_pool{dims}d": "MaxPool" for dims in (1, 2, 3)},
    **{f"avg_pool{dims}d": "AveragePool" for dims in (1, 2, 3)},
    "global_avg_pool": "GlobalAveragePool", "global_max_pool": "GlobalMaxPool",
    "conv_integer": "ConvInteger", "conv_quantized": "QLinearConv",
}
_CONSTANTS = {
    "conv_integer": ("weight", "x_zero_point"),
    "conv_quantized": ("x_scale", "x_zero_point", "weight", "weight_scale", "weight_zero_point",
                       "y_scale", "y_zero_point"),
}
_OWN_DOMAIN = "com.microsoft"


def prepare(case, arrays, threads):
    if case.operation not in _OPERATORS or (case.dtype != "float32" and not case.is_quantized):
        return {}
    x, first = arrays["x"], not case.arguments["layout"].endswith("C")
    variants = {"onnxruntime": _bound(_model(case, arrays), x, threads)} if first else {}
    if case.operation == "conv_quantized":
        variants["onnxruntime nhwc"] = _quantized_nhwc(case, arrays, threads)
    return variants


def _quantized_nhwc(case, arrays, threads):
    if case.arguments["layout"] == "NHWC":
        return _bound(_model(case, arrays, nhwc=True), arrays["x"], threads)
    x = np.ascontiguousarray(arrays["x"].transpose(0, 2, 3, 1))
    run = _bound(_model(case, {**arrays, "x": x}, nhwc=True), x, threads)
    return lambda: run().transpose(0, 3, 1, 2)


def _bound(model, x, threads):
    session = onnxruntime.InferenceSession(
        model, _options(threads), providers=["CPUExecutionProvider"]
    )
    result = result_like(session.run(["y"], {"x": x})[0])
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, result.dtype, result.shape, result.ctypes.data)

    def run(x=x):  # whose memory is bound, as the result's
        session.run_with_iobinding(binding)
        return result

    return run


def _options(threads):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.log_severity_level = 3
    return options


def _model(case, arrays, nhwc=False):
    x = arrays["x"]
    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    result = TensorProto.INT32 if case.operation == "conv_integer" else element
    given = helper.make_tensor_value_info("x", element, x.shape)
    y = helper.make_tensor_value_info("y", result, [None] * x.ndim)
    constants = _constants(case, arrays)
    node = _node(case, ["x", *constants])
    if nhwc:
        node.domain = _OWN_DOMAIN
        node.attribute.append(helper.make_attribute("channels_last", 1))
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], case.name, [given], [y], weights)
    domains = [helper.make_opsetid("", 19), helper.make_opsetid(_OWN_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=9).SerializeToString()


def _constants(case, arrays):
    """What a node takes beside x, in its order."""
    names = _CONSTANTS.get(case.operation, ["weight"] if case.kernel else [])
    return {name: _constant(name, case, arrays) for name in names}


def _constant(name, case, arrays):
    if name == "weight":
        return arrays["weight"]
    of = arrays["weight" if name.startswith("weight") else "x"]
    return np.array(case.arguments[name], np.float32 if name.endswith("scale") else of.dtype)


def _node(case, inputs):
    arguments, dims = case.arguments, len(case.shape) - 2
    if "stride" not in arguments:
        return helper.make_node(_OPERATORS[case.operation], inputs, ["y"])
    attributes = {
        "strides": [arguments["stride"]] * dims,
        "pads": [arguments["padding"]] * 2 * dims,
    }
    if case.kernel:
        attributes["group"] = arguments["groups"]
        attributes["dilations"] = [arguments["dilation"]] * dims
    else:
        attributes["kernel_shape"] = [arguments["kernel_size"]] * dims
    if case.operation.startswith("avg_pool"):
        attributes["count_include_pad"] = 1
    return helper.make_node(_OPERATORS[case.operation], inputs, ["y"], **attributes)
