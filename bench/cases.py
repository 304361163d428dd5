"""The rows: what is computed, on which shapes, and how much work one call of it is.

A row is data. Peers read `operation` and `arguments`; nothing here knows a peer.
"""

import math
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from . import BenchError

# What a row's description leaves out.
_USUAL = {"stride": 1, "dilation": 1, "groups": 1}
_FIRST = "NCW", "NCHW", "NCDHW"  # layouts with channels first
_UNSAID = (
    "padding", "truncate", "dx", "dy", "channel_axis",
    "x_scale", "x_zero_point", "weight_scale", "weight_zero_point", "y_scale", "y_zero_point",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    `operation` is fastconv's own name of it ("conv2d", "filters.sobel") and `arguments` are its
    keyword arguments. `shape` is the input's, `kernel` that of the weights or of the filter.
    `work` is what one call does: `work / seconds` is its speed in `unit`. A convolution counts
    2 * terms for each output, on padding too; a pooling the bytes it reads; a small row one call.
    """

    name: str
    group: str
    operation: str
    shape: tuple
    unit: str
    work: float
    kernel: tuple | None = None
    dtype: str = "float32"
    arguments: dict = field(default_factory=dict)

    @property
    def description(self):
        """What is computed, in a few words."""
        words = [f"{self.operation.rpartition('.')[2]} {'x'.join(map(str, self.shape))}"]
        if self.operation.startswith("conv"):
            words[0] += f" -> {self.kernel[0]}"
        if self.kernel:
            words.append("x".join(map(str, self.kernel[2:] or self.kernel)))
        for argument, value in self.arguments.items():
            usual = value == _USUAL.get(argument) or value in _FIRST
            if argument not in _UNSAID and not usual:
                words.append(f"{argument} {value}")
        if self.dtype != "float32":
            words.append(self.dtype)
        return ", ".join(words)

    @property
    def is_integer(self):
        return np.dtype(self.dtype).kind in "iu"

    @property
    def is_filter(self):
        """Whether this is an image filter: of an image, or of some, whose result is as large."""
        return self.operation.startswith("filters.")

    @property
    def is_convolution(self):
        """Whether this is a layer's forward pass, in any number of dimensions."""
        return self.operation in ("conv1d", "conv2d", "conv3d")

    @property
    def is_quantized(self):
        """Whether this is a layer of 8-bit integers."""
        return self.operation in ("conv_integer", "conv_quantized")

    @property
    def is_plane(self):
        """Whether this convolves one channel with one kernel: a filter with zeros around."""
        return self.operation == "conv2d" and {*self.shape[:2], *self.kernel[:2]} == {1}

    @property
    def intensity(self):
        """A layer's FLOP per byte of input, weights and result, each moved once; else None."""
        if not self.is_convolution:
            return None
        results = self.work * 1e9 / 2 / math.prod(self.kernel[1:])
        numbers = math.prod(self.shape) + math.prod(self.kernel) + results
        return self.work * 1e9 / (numbers * np.dtype(self.dtype).itemsize)

    @property
    def radius(self):
        """How many pixels beyond an output, on each side, an image filter reads."""
        if self.kernel:
            return self.kernel[0] // 2
        if "sigma" in self.arguments:
            return int(self.arguments["truncate"] * self.arguments["sigma"] + 0.5)
        return self.window // 2 or 1

    @property
    def window(self):
        """The side of the square of pixels that a filter without a kernel looks at, or 0."""
        return self.arguments.get("size", self.arguments.get("footprint", 0))


def _conv(name, samples, channels, height, width, kernels, size, stride=1, groups=1, *,
          group="conv", dilation=1, padding=None, layout="NCHW", dtype="float32"):
    reach = dilation * (size - 1)
    padding = reach // 2 if padding is None else padding
    pixels = math.prod((n + 2 * padding - reach - 1) // stride + 1 for n in (height, width))
    image = (channels, height, width) if layout == "NCHW" else (height, width, channels)
    weight = (kernels, channels // groups, size, size)
    return Case(
        name, group, "conv2d", (samples, *image),
        "GFLOP/s", 2e-9 * samples * pixels * math.prod(weight), weight, dtype,
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
         "layout": layout},
    )


def _quantized(name, *layer, operation="conv_quantized", layout="NCHW"):
    """A layer of uint8 by int8, to uint8 or to the sums themselves."""
    name = f"int8_{name}{'_nhwc' * (layout == 'NHWC')}"
    case = _conv(name, *layer, group="conv_int8", layout=layout, dtype="uint8")
    numbers = {"x_zero_point": 128, "weight_zero_point": 0}
    if operation == "conv_quantized":  # results use the whole range, and a few saturate
        scale = 45 * math.sqrt(math.prod(case.kernel[1:]))
        numbers |= {"x_scale": 1.0, "weight_scale": 1.0, "y_scale": scale, "y_zero_point": 128}
    return replace(case, operation=operation, unit="GOP/s", arguments=case.arguments | numbers)


def _grid(name, shape, kernels, size, stride=1, padding=0):
    """A layer in one or three dimensions."""
    dims = len(shape) - 2
    pixels = math.prod((n + 2 * padding - size) // stride + 1 for n in shape[2:])
    weight = (kernels, shape[1], *(size,) * dims)
    return Case(
        name, "conv_1d_3d", f"conv{dims}d", shape,
        "GFLOP/s", 2e-9 * shape[0] * pixels * math.prod(weight), weight, "float32",
        {"stride": stride, "padding": padding, "dilation": 1, "groups": 1,
         "layout": "NCW" if dims == 1 else "NCDHW"},
    )


def _backward(name, *layer, **more):
    """All three gradients of a layer: twice its work, for its input and for its weights."""
    case = _conv(name, *layer, group="backward", **more)
    return replace(case, operation="conv2d_backward", work=2 * case.work)


def _filter(name, operation, dtype, kernel=None, **arguments):
    name = f"{name}_{'u8' if dtype == 'uint8' else 'f32'}"
    return Case(name, "filters", f"filters.{operation}", (1080, 1920),
                "Mpixel/s", 1080 * 1920 / 1e6, kernel, dtype, arguments)


def _more_filters(name, shape, dtype, *operations, channels=False):
    """Rows of image filters on another size or type; with channels these are the last axis."""
    axis = {"channel_axis": -1} if channels else {}
    return [
        Case(f"{operation}_{name}", "filters_more", f"filters.{_MORE[operation][0]}", shape,
             "Mpixel/s", math.prod(shape) / 1e6, _MORE[operation][1], dtype,
             _MORE[operation][2] | axis)
        for operation in operations or _MORE
    ]  # fmt: skip


# name: operation, kernel, arguments
_MORE = {
    "filter2d_3x3": ("filter2d", (3, 3), {}),
    "filter2d_5x5": ("filter2d", (5, 5), {}),
    "gaussian_1.5": ("gaussian", None, {"sigma": 1.5, "truncate": 4}),
    "sobel_3x3": ("sobel", None, {"dx": 1, "dy": 0}),
    "box_9x9": ("box", None, {"size": 9}),
    "median_3x3": ("median", None, {"size": 3, "border": "edge"}),
    "dilate_5x5": ("dilate", None, {"footprint": 5}),
}


def _pool(name, operation, shape, size, stride, padding=0, layout="NCHW", dtype="float32"):
    arguments = {"kernel_size": size, "stride": stride, "padding": padding, "layout": layout}
    return Case(name, "pool", operation, shape, "GB/s",
                1e-9 * np.dtype(dtype).itemsize * math.prod(shape), None, dtype, arguments)


def _global_pool(name, operation, shape, layout="NCHW"):
    return Case(name, "pool", operation, shape, "GB/s", 4e-9 * math.prod(shape),
                arguments={"layout": layout})


def _linear(samples, inputs, outputs):
    return Case(f"linear_{inputs}_{outputs}", "linear", "linear", (samples, inputs), "GFLOP/s",
                2e-9 * samples * inputs * outputs, (outputs, inputs))


def _train(name, shape, network):
    return Case(name, "train", "nn.train_step", shape, "image/s", shape[0],
                arguments={"network": network})


_SMALL = {"group": "small", "unit": "kcall/s", "work": 1e-3}
_more = partial(_conv, group="conv_more")

CASES = (
    #     row              N    C    H    W     K  k  stride, groups
    _conv("rgb_bank3x3",   8,   3, 256, 256,   32, 3),
    _conv("gray_bank5x5",  8,   1, 512, 512,   16, 5),
    _conv("r50_conv1",     1,   3, 224, 224,   64, 7, 2),
    _conv("r50_2_3x3",     1,  64,  56,  56,   64, 3),
    _conv("r50_3_3x3",     1, 128,  28,  28,  128, 3),
    _conv("r50_4_3x3",     1, 256,  14,  14,  256, 3),
    _conv("r50_5_3x3",     1, 512,   7,   7,  512, 3),
    _conv("vgg_3x3",       1, 128, 112, 112,  128, 3),
    _conv("b16_3x3",      16,  64,  56,  56,   64, 3),
    _conv("unet_big",      1,  16, 512, 512,   16, 3),
    _conv("r50_3_3x3s2",   1, 128,  56,  56,  128, 3, 2),
    _conv("r50_2_1x1",     1,  64,  56,  56,  256, 1),
    _conv("r50_4_1x1",     1, 1024, 14,  14,  256, 1),
    _conv("b16_1x1",      16, 256,  28,  28,  128, 1),
    _conv("dw3x3",         1, 144,  56,  56,  144, 3, 1, 144),
    _conv("dw3x3s2",       1,  96, 112, 112,   96, 3, 2, 96),
    _more("odd_3x3",         1,  48,  37,  53,   72, 3),
    _more("wide_5x5",        1,  32,  56,  56,   64, 5),
    _more("dilated_3x3",     1,  64,  56,  56,   64, 3, dilation=2),
    _more("r50_3_3x3_b8",    8, 128,  28,  28,  128, 3),
    _more("r50_3_3x3_b64",  64, 128,  28,  28,  128, 3),
    _more("r50_3_1x1s2",     1, 256,  56,  56,  512, 1, 2),
    _more("patch4x4s4",      1,   3, 224, 224,   96, 4, 4, padding=0),
    _more("g32_3x3",         1, 128,  56,  56,  128, 3, 1, 32),
    _more("dw5x5",           1, 240,  28,  28,  240, 5, 1, 240),
    _more("dw3x3_x2",        1,  64,  56,  56,  128, 3, 1, 64),
    _more("r50_2_3x3_nhwc",  1,  64,  56,  56,   64, 3, layout="NHWC"),
    _more("r50_2_1x1_nhwc",  1,  64,  56,  56,  256, 1, layout="NHWC"),
    _more("dw3x3_nhwc",      1, 144,  56,  56,  144, 3, 1, 144, layout="NHWC"),
    _more("r50_2_3x3_f64",   1,  64,  56,  56,   64, 3, dtype="float64"),
    _more("r50_2_1x1_f64",   1,  64,  56,  56,  256, 1, dtype="float64"),
    *(_quantized(*layer, layout=layout)
      for layer in (
          ("gray5x5", 1,   1, 512, 512,  16, 5),
          ("conv1",   1,   3, 224, 224,  64, 7, 2),
          ("2_3x3",   1,  64,  56,  56,  64, 3),
          ("3_3x3",   1, 128,  28,  28, 128, 3),
          ("4_3x3",   1, 256,  14,  14, 256, 3),
          ("5_3x3",   1, 512,   7,   7, 512, 3),
          ("3_3x3s2", 1, 128,  56,  56, 128, 3, 2),
          ("2_1x1",   1,  64,  56,  56, 256, 1),
          ("2_1x1_down", 1, 256, 56, 56, 64, 1),
          ("dw3x3",   1, 144,  56,  56, 144, 3, 1, 144),
      )
      for layout in ("NCHW", "NHWC")),
    _quantized("2_3x3_sums", 1, 64, 56, 56, 64, 3, operation="conv_integer"),
    _grid("audio_1024s512", (1, 1, 160000), 64, 1024, 512),
    *(_grid(f"series_{k}", (32, 64, 1000), 64, k, padding=k // 2) for k in (3, 5, 7)),
    _grid("video_3x3x3", (1, 16, 16, 112, 112), 16, 3, padding=1),
    _backward("b16_3x3_backward",  16,  64,  56,  56,   64, 3),
    _backward("b32_3x3_backward",  32,  16,  28,  28,   32, 3),
    _backward("b64_5x5_backward",  64,   1,  28,  28,   16, 5),
    _backward("gray_3x3_backward",  8,   1, 112, 112,   32, 3),
    _backward("rgb_3x3_backward",   8,   3, 112, 112,   32, 3),
    _backward("dw3x3_backward",     8, 144,  56,  56,  144, 3, 1, 144),
    _backward("b16_1x1_backward",  16, 256,  28,  28,  128, 1),
    _backward("b16_3x3s2_backward", 16, 64,  56,  56,  128, 3, 2),
    *(_filter(f"filter2d_{k}x{k}", "filter2d", dtype, (k, k))
      for dtype in ("float32", "uint8") for k in (3, 5, 7, 11, 15, 31)),
    # Cut off where OpenCV cuts off by default: at 4 sigma, and at 3 for uint8.
    *(_filter(f"gaussian_{sigma}", "gaussian", dtype, sigma=sigma, truncate=truncate)
      for dtype, truncate in (("float32", 4), ("uint8", 3)) for sigma in (1, 3, 10)),
    # Peers have no such method, and do what they do for any sigma.
    _filter("gaussian_10_recursive", "gaussian", "float32", sigma=10, truncate=4,
            method="recursive"),
    *(_filter("sobel_3x3", "sobel", dtype, dx=1, dy=0) for dtype in ("float32", "uint8")),
    *(_filter(f"box_{k}x{k}", "box", dtype, size=k)
      for dtype in ("float32", "uint8") for k in (9, 31)),
    # OpenCV's median repeats the edge, whatever is asked for.
    *(_filter(f"median_{k}x{k}", "median", dtype, size=k, border="edge")
      for dtype in ("float32", "uint8") for k in (3, 5, 7)),
    *(_filter(f"dilate_{k}x{k}", "dilate", dtype, footprint=k)
      for dtype in ("float32", "uint8") for k in (5, 31)),
    # Sizes that no vector divides, one that stays in a cache and one that does not, channels, other
    # types; and batches, which peers filter image by image. A pixel of C channels counts C times.
    *_more_filters("odd_u8", (1079, 1917), "uint8"),
    *_more_filters("256_u8", (256, 256), "uint8", "filter2d_3x3", "box_9x9", "median_3x3"),
    *_more_filters("256_f32", (256, 256), "float32", "gaussian_1.5"),
    *_more_filters("48M_u8", (6000, 8000), "uint8", "sobel_3x3"),
    *_more_filters("c3_u8", (360, 640, 3), "uint8", "filter2d_5x5", "sobel_3x3", "box_9x9",
                   "dilate_5x5", channels=True),
    *_more_filters("c4_f32", (360, 640, 4), "float32", "filter2d_3x3", "box_9x9", channels=True),
    *_more_filters("c16_u8", (180, 320, 16), "uint8", "filter2d_3x3", "gaussian_1.5",
                   channels=True),
    *_more_filters("u16", (540, 960), "uint16", "box_9x9", "median_3x3", "dilate_5x5"),
    *_more_filters("f64", (540, 960), "float64", "filter2d_5x5", "sobel_3x3"),
    *(Case(f"gradient_{name}", "filters_more", "filters.gradient", shape, "Mpixel/s",
           math.prod(shape) / 1e6, None, "float32", {"outputs": "magnitude"})
      for name, shape in (("1080_f32", (1080, 1920)), ("64_f32", (64, 64)))),
    *(row for name, dtype in (("b64_u8", "uint8"), ("b64_f32", "float32"))
      for row in _more_filters(name, (64, 512, 512, 3), dtype, channels=True)),
    _pool("max2x2s2_112", "max_pool2d", (8, 64, 112, 112), 2, 2),
    _pool("max3x3s2_112", "max_pool2d", (8, 64, 112, 112), 3, 2, 1),
    _pool("avg2x2s2_112", "avg_pool2d", (8, 64, 112, 112), 2, 2),
    _pool("max2x2s2_28", "max_pool2d", (32, 64, 28, 28), 2, 2),
    _pool("max3x3s2_28", "max_pool2d", (32, 64, 28, 28), 3, 2, 1),
    _pool("max2x2s2_112_nhwc", "max_pool2d", (8, 112, 112, 64), 2, 2, layout="NHWC"),
    _pool("max3x3s2_112_nhwc", "max_pool2d", (8, 112, 112, 64), 3, 2, 1, layout="NHWC"),
    _pool("avg2x2s2_112_nhwc", "avg_pool2d", (8, 112, 112, 64), 2, 2, layout="NHWC"),
    _pool("max3x3s1_56", "max_pool2d", (8, 64, 56, 56), 3, 1, 1),
    _pool("max3x3s2_55", "max_pool2d", (8, 64, 55, 55), 3, 2),
    _pool("max3x3s2_56_u8", "max_pool2d", (8, 64, 56, 56), 3, 2, 1, dtype="uint8"),
    _pool("max2s2_1d", "max_pool1d", (8, 64, 12544), 2, 2, layout="NCW"),
    _pool("avg4s4_1d", "avg_pool1d", (8, 64, 4096), 4, 4, layout="NCW"),
    _pool("max2s2_3d", "max_pool3d", (2, 32, 32, 56, 56), 2, 2, layout="NCDHW"),
    _pool("avg2s2_3d", "avg_pool3d", (2, 32, 16, 56, 56), 2, 2, layout="NCDHW"),
    _global_pool("avg_global_112", "global_avg_pool", (8, 64, 112, 112)),
    _global_pool("avg_global_7", "global_avg_pool", (32, 2048, 7, 7)),
    _global_pool("max_global_28x28", "global_max_pool", (32, 64, 28, 28)),
    _global_pool("avg_global_112_nhwc", "global_avg_pool", (8, 112, 112, 64), "NHWC"),
    # nn.Linear, a 1x1 convolution of pixels that are samples, beside products of matrices.
    *(_linear(64, *sizes) for sizes in ((784, 256), (3136, 128), (8192, 10), (512, 512))),
    # A whole step: forward, backward, SGD with momentum.
    _train("train_8x8",   (64, 1, 8, 8),   "conv16 conv32 pool linear10"),
    _train("train_28x28", (64, 1, 28, 28), "conv32 pool conv64 pool linear128 linear10"),
    _train("train_32x32", (64, 3, 32, 32), "conv64 conv64 pool conv128 conv128 pool linear10"),
    # What a call costs: one 3x3 filter on an 8x8 image.
    replace(_conv("small_conv", 1, 1, 8, 8, 1, 3), **_SMALL),
    replace(_filter("small_filter", "filter2d", "float32", (3, 3)), shape=(8, 8), **_SMALL),
)


def select(patterns, cases=CASES):
    """Give the cases that any pattern names: a group, a row, a glob, or a part of a row's name.

    No pattern means all of them. Raises BenchError for a pattern that names none.
    """
    chosen = set()
    for pattern in patterns:
        exact = {case.name for case in cases if pattern in (case.group, case.name)}
        found = exact or {
            case.name for case in cases if fnmatchcase(case.name, pattern) or pattern in case.name
        }
        if not found:
            raise BenchError(f"unknown row {pattern!r}: `python -m bench --list` shows all rows")
        chosen |= found
    return [case for case in cases if case.name in chosen or not patterns]
