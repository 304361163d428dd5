"""The rows: what is computed, on which shapes, and how much work one call of it is.

A row is data. Peers read `operation` and `arguments`; nothing here knows a peer.
"""

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from . import BenchError


@dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    `operation` is fastconv's own name of it ("conv2d", "filters.sobel") and `arguments` are its
    keyword arguments. `shape` is the input's, `kernel` that of the weights or of the filter.
    `work` is what one call does: `work / seconds` is its speed in `unit`. A convolution counts
    2 * terms for each output, on padding too; a pooling the bytes it reads.
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
    def radius(self):
        """How many pixels beyond an output, on each side, an image filter reads."""
        if self.kernel:
            return self.kernel[0] // 2
        if "sigma" in self.arguments:
            return int(self.arguments["truncate"] * self.arguments["sigma"] + 0.5)
        return 1


def _conv(name, samples, channels, height, width, kernels, size, stride=1, groups=1):
    padding = size // 2
    pixels = math.prod((n + 2 * padding - size) // stride + 1 for n in (height, width))
    weight = (kernels, channels // groups, size, size)
    return Case(
        name, "conv", "conv2d", (samples, channels, height, width),
        "GFLOP/s", 2e-9 * samples * pixels * math.prod(weight), weight,
        arguments={"stride": stride, "padding": padding, "groups": groups},
    )


def _filter(name, operation, dtype, kernel=None, **arguments):
    name = f"{name}_{'u8' if dtype == 'uint8' else 'f32'}"
    return Case(name, "filters", f"filters.{operation}", (1080, 1920),
                "Mpixel/s", 1080 * 1920 / 1e6, kernel, dtype, arguments)


def _pool(name, operation, shape, size, stride, padding=0, layout="NCHW"):
    arguments = {"kernel_size": size, "stride": stride, "padding": padding, "layout": layout}
    return Case(name, "pool", operation, shape, "GB/s", 4e-9 * math.prod(shape),
                arguments=arguments)


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
    *(_filter(f"filter2d_{k}x{k}", "filter2d", dtype, (k, k))
      for dtype in ("float32", "uint8") for k in (3, 5, 7, 11, 15, 31)),
    # Cut off where OpenCV cuts off by default: at 4 sigma, and at 3 for uint8.
    *(_filter(f"gaussian_{sigma}", "gaussian", dtype, sigma=sigma, truncate=truncate)
      for dtype, truncate in (("float32", 4), ("uint8", 3)) for sigma in (1, 3, 10)),
    *(_filter("sobel_3x3", "sobel", dtype, dx=1, dy=0) for dtype in ("float32", "uint8")),
    _pool("max2x2s2_112", "max_pool2d", (8, 64, 112, 112), 2, 2),
    _pool("max3x3s2_112", "max_pool2d", (8, 64, 112, 112), 3, 2, 1),
    _pool("avg2x2s2_112", "avg_pool2d", (8, 64, 112, 112), 2, 2),
    _pool("max2x2s2_28", "max_pool2d", (32, 64, 28, 28), 2, 2),
    _pool("max3x3s2_28", "max_pool2d", (32, 64, 28, 28), 3, 2, 1),
    _pool("max2x2s2_112_nhwc", "max_pool2d", (8, 112, 112, 64), 2, 2, layout="NHWC"),
    _pool("max3x3s2_112_nhwc", "max_pool2d", (8, 112, 112, 64), 3, 2, 1, layout="NHWC"),
    _pool("avg2x2s2_112_nhwc", "avg_pool2d", (8, 112, 112, 64), 2, 2, layout="NHWC"),
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
