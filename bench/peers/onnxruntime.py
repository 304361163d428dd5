"""ONNX Runtime: a session of one node, all optimisations on, result memory bound ahead."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from . import result_like

VERSION = onnxruntime.__version__

_OPERATORS = {
    "conv1d": "Conv", "conv2d": "Conv", "conv3d": "Conv",
    **{f"max_pool{dims}d": "MaxPool" for dims in (1, 2, 3)},
    **{f"avg_pool{dims}d": "AveragePool" for dims in (1, 2, 3)},
    "global_avg_pool": "GlobalAveragePool", "global_max_pool": "GlobalMaxPool",
}


def prepare(case, arrays, threads):
    if case.operation not in _OPERATORS or case.dtype != "float32":
        return {}
    if case.arguments["layout"].endswith("C"):
        return {}
    session = onnxruntime.InferenceSession(
        _model(case, arrays), _options(threads), providers=["CPUExecutionProvider"]
    )
    result = result_like(session.run(["y"], {"x": arrays["x"]})[0])
    binding = session.io_binding()
    binding.bind_cpu_input("x", arrays["x"])
    binding.bind_output("y", "cpu", 0, np.float32, result.shape, result.ctypes.data)

    def run():
        session.run_with_iobinding(binding)
        return result

    return {"onnxruntime": run}


def _options(threads):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.log_severity_level = 3
    return options


def _model(case, arrays):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(case.shape))
    weights = [onnx.numpy_helper.from_array(arrays["weight"], "weight")] if case.kernel else []
    graph = helper.make_graph([_node(case)], case.name, [x], [y], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9
    )
    return model.SerializeToString()


def _node(case):
    arguments, dims = case.arguments, len(case.shape) - 2
    inputs = ["x", "weight"] if case.kernel else ["x"]
    if "stride" not in arguments:
        return helper.make_node(_OPERATORS[case.operation], inputs, ["y"])
    attributes = {
        "strides": [arguments["stride"]] * dims,
        "pads": [arguments["padding"]] * 2 * dims,
    }
    if case.is_convolution:
        attributes["group"] = arguments["groups"]
        attributes["dilations"] = [arguments["dilation"]] * dims
    else:
        attributes["kernel_shape"] = [arguments["kernel_size"]] * dims
    if case.operation.startswith("avg_pool"):
        attributes["count_include_pad"] = 1
    return helper.make_node(_OPERATORS[case.operation], inputs, ["y"], **attributes)
