"""PyTorch on the CPU: contiguous, channels_last, and with oneDNN's own order of the weights."""

from functools import partial

import torch
from torch.nn import functional

VERSION = torch.__version__

# For good: this process never trains.
torch.inference_mode().__enter__()


def prepare(case, arrays, threads):
    torch.set_num_threads(threads)
    tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
    if case.operation == "conv2d":
        return _conv2d(case.arguments, **tensors)
    if case.operation in ("max_pool2d", "avg_pool2d"):
        return _pool(getattr(functional, case.operation), case.arguments, tensors["x"])
    return {}


def _conv2d(arguments, x, weight):
    channels_last = {"memory_format": torch.channels_last}
    x_last, weight_last = x.contiguous(**channels_last), weight.contiguous(**channels_last)
    variants = {
        "torch": partial(functional.conv2d, x, weight, **arguments),
        "torch channels_last": partial(functional.conv2d, x_last, weight_last, **arguments),
    }
    stride, padding = [arguments["stride"]] * 2, [arguments["padding"]] * 2
    geometry = padding, stride, [1, 1], arguments["groups"]
    try:  # what torch.compile makes of a frozen layer
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, list(x.shape))
    except (AttributeError, NotImplementedError):
        return variants
    convolve = torch.ops.mkldnn._convolution_pointwise
    variants["torch prepacked"] = partial(
        convolve, x_last, packed, None, *geometry, "none", [], ""
    )
    return variants


def _pool(pool, arguments, x):
    arguments = dict(arguments)
    if arguments.pop("layout") == "NCHW":
        return {"torch": partial(pool, x, **arguments)}
    x = x.permute(0, 3, 1, 2)
    return {"torch channels_last": lambda: pool(x, **arguments).permute(0, 2, 3, 1)}
