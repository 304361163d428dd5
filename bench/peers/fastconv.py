"""fastconv, twice: with everything prepared, and as a single call with nothing prepared."""

from functools import partial
from operator import attrgetter

import numpy as np

import fastconv
from fastconv import nn

from .. import networks
from . import result_like

VERSION = fastconv.__version__
DETAILS = fastconv.show_config()


_PLANS = {
    "conv1d": fastconv.plan_conv1d,
    "conv2d": fastconv.plan_conv2d,
    "conv3d": fastconv.plan_conv3d,
    "conv_quantized": fastconv.plan_conv_quantized,
    "conv_integer": partial(fastconv.plan_conv_quantized, dtype="int32"),
}


def prepare(case, arrays, threads):
    fastconv.set_num_threads(threads)
    if case.operation == "nn.train_step":
        return {"fastconv": trainer(case, arrays["x"])}
    if case.operation == "linear":
        return {"fastconv": _linear(threads, **arrays)}
    operation = attrgetter(case.operation)(fastconv)
    fresh = partial(operation, *arrays.values(), **case.arguments)
    out = fresh()
    out = [result_like(each) for each in out] if isinstance(out, tuple) else result_like(out)
    if case.is_convolution or case.is_quantized:
        plan = _PLANS[case.operation](arrays["weight"], **case.arguments)
        prepared = partial(plan, arrays["x"], out=out, threads=threads)
    else:
        prepared = partial(fresh, out=out, threads=threads)
    return {"fastconv": prepared, "fastconv fresh": fresh}


def _linear(threads, x, weight):
    """Give what nn.Linear computes."""
    plan = fastconv.plan_conv2d(weight[:, :, None, None], layout="NHWC")
    image = x[None, None]
    out = result_like(np.empty((1, 1, len(x), len(weight)), x.dtype))
    return lambda: plan(image, out, threads)[0, 0]


def trainer(case, x, dtype="float32"):
    """Give a function that trains a row's network on its batch and gives the loss before."""
    model = nn.Sequential(*networks.layers(case, nn)).to(dtype)
    values = networks.parameters([each.value.shape for each in model.parameters()])
    for each, value in zip(model.parameters(), values, strict=True):
        each.value[...] = value
    optimizer = nn.SGD(model.parameters(), lr=networks.RATE, momentum=networks.MOMENTUM)
    batch, labels = x.astype(dtype), networks.labels(case)

    def step():
        return np.array([nn.train_step(model, optimizer, batch, labels)], dtype)

    step()  # the next loss depends on all gradients of this one
    return step


def peak(bits, seconds):
    """Measure the GFLOP/s of fused multiply-adds on registers, on one thread."""
    return fastconv._core.fma_peak(DETAILS["isa"], bits, seconds)
