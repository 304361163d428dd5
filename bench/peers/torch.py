"""PyTorch on the CPU: contiguous, channels_last, and with oneDNN's own order of the weights."""

from contextlib import suppress
from functools import partial

import torch
from torch.nn import functional

from .. import networks

VERSION = torch.__version__

_GLOBAL = {"global_avg_pool": functional.adaptive_avg_pool2d,
           "global_max_pool": functional.adaptive_max_pool2d}

# For good: only `_train` leaves it.
torch.inference_mode().__enter__()


def prepare(case, arrays, threads):
    torch.set_num_threads(threads)
    tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
    if case.operation == "linear":
        return {"torch": partial(functional.linear, tensors["x"], tensors["weight"])}
    if case.operation == "nn.train_step":
        return _train(case, arrays["x"])
    if case.operation == "conv2d":
        return _conv2d(case.arguments, **tensors)
    if case.is_convolution:
        return _grid(getattr(functional, case.operation), case.arguments, **tensors)
    if case.operation == "conv2d_backward":
        return _backward(case.arguments, **tensors)
    if case.operation.startswith(("max_pool", "avg_pool")):
        return _pool(getattr(functional, case.operation), case.arguments, tensors["x"])
    if case.operation in _GLOBAL:
        return _pool(partial(_GLOBAL[case.operation], output_size=1), case.arguments, tensors["x"])
    return {}


def _conv2d(arguments, x, weight):
    arguments = dict(arguments)
    nhwc = arguments.pop("layout") == "NHWC"
    x = x.permute(0, 3, 1, 2) if nhwc else x
    channels_last = {"memory_format": torch.channels_last}
    x_last, weight_last = x.contiguous(**channels_last), weight.contiguous(**channels_last)
    variants = {"torch channels_last": partial(functional.conv2d, x_last, weight_last, **arguments)}
    if x.dtype == torch.float32:  # oneDNN knows no float64
        with suppress(AttributeError, NotImplementedError):  # a build without oneDNN
            variants["torch prepacked"] = _prepacked(arguments, x_last, weight)
    if nhwc:
        return {label: _permuted(call) for label, call in variants.items()}
    return {"torch": partial(functional.conv2d, x, weight, **arguments), **variants}


def _grid(convolution, arguments, x, weight):
    """The same of sequences and volumes."""
    arguments = dict(arguments)
    arguments.pop("layout")
    calls = {"torch": partial(convolution, x, weight, **arguments)}
    if x.ndim == 5:
        last = [each.contiguous(memory_format=torch.channels_last_3d) for each in (x, weight)]
        calls["torch channels_last"] = partial(convolution, *last, **arguments)
    with suppress(AttributeError, NotImplementedError, RuntimeError):
        calls["torch prepacked"] = _prepacked(arguments, x, weight)
    return calls


def _backward(arguments, dy, x, weight):
    pairs = [[arguments[name]] * 2 for name in ("stride", "padding", "dilation")]
    rest = ([len(weight)], *pairs, False, [0, 0], arguments["groups"], [True] * 3)
    last = [each.contiguous(memory_format=torch.channels_last) for each in (dy, x, weight)]
    gradients = torch.ops.aten.convolution_backward
    return {
        "torch": partial(gradients, dy, x, weight, *rest),
        "torch channels_last": partial(gradients, *last, *rest),
    }


def _train(case, x):
    variants = {}
    for label, form in (("torch", torch.contiguous_format),
                        ("torch channels_last", torch.channels_last)):
        with torch.inference_mode(False):
            batch = torch.from_numpy(x).contiguous(memory_format=form)
            variants[label] = _trainer(case, batch, form)
    return variants


def _trainer(case, batch, form):
    model = torch.nn.Sequential(*networks.layers(case, torch.nn)).to(memory_format=form)
    values = networks.parameters([each.shape for each in model.parameters()])
    with torch.no_grad():
        for each, value in zip(model.parameters(), values, strict=True):
            each.copy_(torch.from_numpy(value))
    optimizer = torch.optim.SGD(model.parameters(), networks.RATE, networks.MOMENTUM)
    labels = torch.from_numpy(networks.labels(case))

    def step():
        with torch.inference_mode(False):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(batch), labels)
            loss.backward()
            optimizer.step()
            return loss.detach().reshape(1)

    step()
    return step


def _prepacked(arguments, x, weight):
    """Give what torch.compile makes of a frozen layer."""
    geometry = (*([arguments[name]] * (x.ndim - 2) for name in ("padding", "stride", "dilation")),
                arguments["groups"])
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, list(x.shape))
    return partial(torch.ops.mkldnn._convolution_pointwise, x, packed, None, *geometry,
                   "none", [], "")


def _pool(pool, arguments, x):
    arguments = dict(arguments)
    if arguments.pop("layout") != "NHWC":
        return {"torch": partial(pool, x, **arguments)}
    return {"torch channels_last": _permuted(partial(pool, x.permute(0, 3, 1, 2), **arguments))}


def _permuted(call):
    """Give the call with its result as NHWC: only its strides change."""
    return lambda: call().permute(0, 2, 3, 1)
