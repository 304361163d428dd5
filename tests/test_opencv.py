"""Image filters beside OpenCV: any type, size, channels, anchor and border that both have.

What both compute in integers, or choose among the pixels, is equal. Floats are within the bound of
their sums in any order, once for each side. Where OpenCV rounds otherwise, the test says so.
"""

import numpy as np
import pytest
from helpers import anything
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import filters, reference

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
DEPTHS = {"int16": cv2.CV_16S, "float32": cv2.CV_32F, "float64": cv2.CV_64F}
DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
CHANNELS = (1, 2, 3, 4, 5, 8, 17, 64, 128)  # 128 are the most that OpenCV 5 takes
ROUNDS = 150


class Draw:
    """One random call: an image, what is the same for both, and a kernel's size and anchor."""

    def __init__(self, seed, dtypes=DTYPES, channels=CHANNELS, largest=7, odd=False):
        rng = self.rng = np.random.default_rng(seed)
        self.dtype = str(rng.choice(dtypes))
        channels = int(rng.choice(channels))
        h, w = (int(rng.choice([1, 2, 3, 8, rng.integers(4, 80)])) for _ in range(2))
        if channels > 8:
            h, w = h % 13 + 1, w % 13 + 1
        self.image = anything(rng, (h, w, channels), self.dtype)
        self.border = str(rng.choice(list(BORDERS)))
        self.size = tuple(int(k) | odd for k in rng.integers(1, largest + 1, 2))
        self.anchor = tuple(int(rng.integers(k)) for k in self.size)
        self.threads = int(rng.integers(1, 4))
        self.integer = self.image.dtype.kind in "iu"

    def ours(self, name, *args, **options):
        options = {"border": self.border, "channel_axis": -1, "threads": self.threads} | options
        return getattr(filters, name)(self.image, *args, **options)

    def theirs(self, function, *args, border=True, **options):
        if border:
            options["borderType"] = BORDERS[self.border]
        return function(self.image, *args, **options).reshape(self.image.shape)

    @property
    def point(self):
        """The anchor, as OpenCV names it: column, row."""
        return self.anchor[::-1]

    def slope_dtype(self):
        """Of a derivative: one that holds it, and that OpenCV gives for such an image."""
        return {"uint8": "int16", "float64": "float64"}.get(self.dtype, "float32")

    def assert_close(self, ours, theirs, kernel, **options):
        """Exact for integers; floats within what both may err by."""
        if self.integer:
            assert_array_equal(ours, theirs)
            return
        options = {"border": self.border, "channel_axis": -1} | options
        magnitude = reference.filter2d(abs(self.image), abs(np.asarray(kernel)), **options)
        bound = 2 * (np.size(kernel) + 2) * np.finfo(self.dtype).eps * magnitude
        assert np.all(abs(ours.astype(np.float64) - theirs) <= bound)


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_filter2d(seed):
    draw = Draw(seed)
    kernel = draw.rng.integers(-3, 4, draw.size).astype(np.float32)
    ours = draw.ours("filter2d", kernel.astype(int), anchor=draw.anchor)
    theirs = draw.theirs(cv2.filter2D, -1, kernel, anchor=draw.point)
    draw.assert_close(ours, theirs, kernel, anchor=draw.anchor)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_sep_filter2d(seed):
    draw = Draw(seed)
    down, along = (draw.rng.integers(-2, 3, k).astype(np.float32) for k in draw.size)
    ours = draw.ours("sep_filter2d", down.astype(int), along.astype(int), anchor=draw.anchor)
    theirs = draw.theirs(cv2.sepFilter2D, -1, along, down, anchor=draw.point)
    draw.assert_close(ours, theirs, np.outer(down, along), anchor=draw.anchor)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_gaussian(seed):
    """OpenCV rounds weights, to 8 or 16 bits: most of these results are equal or off by 1.

    2 are the most that 4,000 draws of uint8 and uint16 gave; int16, whose weights are floats, 1.
    """
    draw = Draw(seed, odd=True)
    sigma = draw.rng.uniform(0.5, 3, 2)
    radius = tuple(k // 2 for k in draw.size)
    ours = draw.ours("gaussian", tuple(sigma.tolist()), radius=radius)
    theirs = draw.theirs(cv2.GaussianBlur, draw.size[::-1], sigma[1], sigmaY=sigma[0])
    if draw.integer:
        assert abs(ours.astype(int) - theirs).max() <= (1 if draw.dtype == "int16" else 2)
        return
    down, along = map(cv2.getGaussianKernel, draw.size, sigma)
    draw.assert_close(ours, theirs, np.outer(down, along))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_derivatives(seed):
    draw = Draw(seed)
    dtype = draw.slope_dtype()
    depth, order = DEPTHS[dtype], ((1, 0), (0, 1))[seed % 2]
    for ksize in (3, 5):
        ours = draw.ours("sobel", *order, ksize=ksize, out_dtype=dtype)
        theirs = draw.theirs(cv2.Sobel, depth, *order, ksize=ksize)
        kernels = cv2.getDerivKernels(*order, ksize)
        draw.assert_close(ours, theirs, np.outer(kernels[1], kernels[0]))
    ours = draw.ours("scharr", *order, out_dtype=dtype)
    kernels = cv2.getDerivKernels(*order, cv2.FILTER_SCHARR)
    theirs = draw.theirs(cv2.Scharr, depth, *order)
    draw.assert_close(ours, theirs, np.outer(kernels[1], kernels[0]))
    kernels = {1: [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 3: [[2, 0, 2], [0, -8, 0], [2, 0, 2]]}
    for ksize, kernel in kernels.items():
        ours = draw.ours("laplacian", ksize=ksize, out_dtype=dtype)
        draw.assert_close(ours, draw.theirs(cv2.Laplacian, depth, ksize=ksize), kernel)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_box(seed):
    """OpenCV divides integers by multiplications that are not exact: 139.25 may become 140."""
    draw = Draw(seed, largest=24)
    options = {"anchor": draw.anchor}
    ours = draw.ours("box", draw.size, **options)
    theirs = draw.theirs(cv2.blur, draw.size[::-1], anchor=draw.point)
    area = draw.size[0] * draw.size[1]
    if draw.dtype == "float64":  # OpenCV's sums move along: each keeps errors of all before it
        assert_allclose(ours, theirs, rtol=0, atol=1e-13)
    elif draw.dtype == "float32":
        draw.assert_close(ours, theirs, np.full(draw.size, 1 / area), anchor=draw.anchor)
    else:
        sums = draw.ours("box", draw.size, normalize=False, out_dtype="float64", **options)
        assert_array_equal(ours, np.rint(sums / area))
        assert abs(ours.astype(int) - theirs).max() <= 1
        their_sums = draw.theirs(
            cv2.boxFilter, cv2.CV_64F, draw.size[::-1], anchor=draw.point, normalize=False
        )
        assert_array_equal(sums, their_sums)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_median(seed):
    """OpenCV repeats the edge, and takes channels 1, 3 and 4; above 5x5 uint8 alone."""
    some = "uint8", "uint16", "int16", "float32"
    for size, dtypes in ((3, some), (5, some), (9, ("uint8",)), (15, ("uint8",))):
        draw = Draw(seed, dtypes, (1, 3, 4))
        ours = draw.ours("median", size, border="edge")
        assert_array_equal(ours, draw.theirs(cv2.medianBlur, size, border=False))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_morphology(seed):
    draw = Draw(seed, odd=bool(seed % 2))
    footprint = (draw.rng.random(draw.size) < 0.6).astype(np.uint8)
    footprint[draw.anchor] = 1
    for name in ("dilate", "erode"):
        ours = draw.ours(name, footprint, anchor=draw.anchor)
        function = getattr(cv2, name)
        assert_array_equal(ours, draw.theirs(function, footprint, anchor=draw.point, borderValue=0))
    if not seed % 2:
        return
    box = np.ones(draw.size, np.uint8)
    for name, operation in (("opening", cv2.MORPH_OPEN), ("closing", cv2.MORPH_CLOSE)):
        theirs = draw.theirs(cv2.morphologyEx, operation, box, borderValue=0)
        assert_array_equal(draw.ours(name, draw.size), theirs)
    theirs = draw.theirs(cv2.morphologyEx, cv2.MORPH_GRADIENT, box, borderValue=0)
    assert_array_equal(draw.ours("morphological_gradient", draw.size), theirs)
