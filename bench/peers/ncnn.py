"""ncnn: a net of one layer, from NCHW to NCHW, in its own packed layout, and without Winograd.

It has no batches: a batch is its samples one after the other, as its users do it. The matrices
of the samples are made ahead; those of the results are left as they are until they are checked.
"""

import tempfile
from functools import partial
from pathlib import Path

import ncnn
import numpy as np

VERSION = ncnn.__version__
OWN_LAYOUT = ("ncnn packed", "ncnn direct")

_LAYERS = {"conv2d": "Convolution", "max_pool2d": "Pooling", "avg_pool2d": "Pooling"}
_PACKED = 1  # how Extractor.extract is told to leave a result in the packed layout


class Results(list):
    """The matrices of a batch: one array when somebody asks for it."""

    def __array__(self, dtype=None, copy=None):
        return np.stack([np.array(ncnn.convert_packing(matrix, 1)) for matrix in self])


def prepare(case, arrays, threads):
    if case.operation not in _LAYERS or case.dtype != "float32":
        return {}
    if case.arguments["layout"] != "NCHW":
        return {}
    layer, weight = _layer(case), arrays.get("weight")
    net = _net(layer, weight, threads)
    samples = [ncnn.Mat(sample).clone() for sample in arrays["x"]]
    packed = _run(_net("ReLU 0=1", None, threads), samples, _PACKED)  # a slope of 1: no change
    variants = {
        "ncnn": partial(_run, net, samples),
        "ncnn packed": partial(_run, net, packed, _PACKED),
    }
    if case.kernel:
        direct = _net(layer, weight, threads, winograd=False)
        variants["ncnn direct"] = partial(_run, direct, packed, _PACKED)
    return variants


def _run(net, samples, layout=0):
    results = Results()
    for sample in samples:
        extractor = net.create_extractor()
        extractor.input("x", sample)
        results.append(extractor.extract("y", layout)[1])
    return results


def _net(layer, weight, threads, winograd=True):
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_winograd_convolution = winograd
    net.opt.use_winograd63_convolution = False  # refused where it is chosen: too far off
    net.opt.use_packing_layout = True
    for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed",
                   "bf16_storage"):
        setattr(net.opt, f"use_{narrow}", False)
    kind, _, parameters = layer.partition(" ")
    net.load_param_mem(f"7767517\n2 2\nInput x 0 1 x\n{kind} y 1 1 x y {parameters}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.bin"
        # Zero says that plain float32 follows.
        path.write_bytes(b"" if weight is None else bytes(4) + weight.tobytes())
        net.load_model(str(path))
    return net


def _layer(case):
    """Give the layer's type, and its parameters under ncnn's numbers."""
    arguments = case.arguments
    kind, stride, padding = _LAYERS[case.operation], arguments["stride"], arguments["padding"]
    if kind == "Pooling":
        average = int(case.operation == "avg_pool2d")
        # 5: sizes are rounded down; 6: padding counts
        return f"{kind} 0={average} 1={arguments['kernel_size']} 2={stride} 3={padding} 5=1 6=1"
    kernels, _, size, _ = case.kernel
    parameters = (f"0={kernels} 1={size} 2={arguments['dilation']} 3={stride} 4={padding} "
                  f"6={np.prod(case.kernel)}")
    groups = arguments["groups"]
    return f"{kind}DepthWise {parameters} 7={groups}" if groups > 1 else f"{kind} {parameters}"
