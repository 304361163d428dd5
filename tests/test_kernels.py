"""Every kernel of the library: what its taps sum to, its symmetry, its partner, its errors."""

import doctest
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import kernels, reference

ROUND = ("box", "gaussian", "log", "dog", "unsharp", "identity", "laplacian_4", "laplacian_8",
         "sharpen", "outline", "corner_spot")
SUM_TO_ONE = ("identity", "sharpen", "unsharp", "emboss", "box", "gaussian")
FAMILIES = ("edge_horizontal", "edge_vertical", "edge_diagonal", "edge_antidiagonal", "sobel_x",
            "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y", "roberts_x", "roberts_y",
            "corner_top_left", "line_horizontal", "line_vertical", "line_diagonal",
            "line_antidiagonal", "emboss", "gabor", *ROUND)
PAIRED = [name for name in kernels.names() if kernels.pair(name)]
PARAMETERISED = [name for name in kernels.names() if kernels.parameters(name)]


def test_the_library_has_every_family():
    assert set(FAMILIES) <= set(kernels.names())


@pytest.mark.parametrize("name", kernels.names())
class TestEveryKernel:
    def test_is_a_read_only_plane(self, name):
        taps = kernels.get(name)
        assert taps.ndim == 2
        assert taps.shape[0] == taps.shape[1]
        assert not taps.flags.writeable
        assert np.isfinite(taps).all()

    def test_has_integer_dtype_if_and_only_if_its_taps_are_integers(self, name):
        taps = kernels.get(name)
        whole = np.array_equal(taps, np.rint(taps))
        assert taps.dtype == (np.int16 if whole else np.float64)

    def test_sums_to_one_or_zero_in_any_order(self, name):
        taps = kernels.get(name).ravel()
        for order in (taps, taps[::-1], np.sort(taps)):
            assert sum(order.tolist()) == (name in SUM_TO_ONE)

    def test_is_described_in_one_line(self, name):
        for text in (kernels.describe(name), kernels.source(name)):
            assert text == text.strip() != ""
            assert "\n" not in text
            assert text.isascii()

    def test_name_is_snake_case_and_hyphens_do(self, name):
        assert name == name.lower().replace("-", "_")
        assert_array_equal(kernels.get(name.replace("_", "-")), kernels.get(name))


@pytest.mark.parametrize("name", ROUND)
def test_round_kernels_look_the_same_from_every_side(name):
    taps = kernels.get(name)
    for turned in (taps.T, taps[::-1], taps[:, ::-1]):
        assert_array_equal(turned, taps)


@pytest.mark.parametrize("name", PAIRED)
def test_a_pair_is_a_quarter_turn(name):
    partner = kernels.pair(name)
    assert kernels.pair(partner) == name
    turns = [np.rot90(kernels.get(name), quarters) for quarters in (1, -1)]
    assert any(np.array_equal(turned, kernels.get(partner)) for turned in turns)


@pytest.mark.parametrize("family", ["sobel", "prewitt", "scharr"])
def test_x_and_y_are_transposes(family):
    assert kernels.pair(f"{family}_x") == f"{family}_y"
    assert_array_equal(kernels.get(f"{family}_x").T, kernels.get(f"{family}_y"))


def test_kernels_without_direction_have_no_pair():
    assert not any(kernels.pair(name) for name in ROUND)


def test_gradient_of_a_ramp():
    y, x = np.mgrid[0:9, 0:9].astype(np.float64)
    for name in ("sobel", "prewitt", "scharr"):
        along = reference.filter2d(x, kernels.get(f"{name}_x"), border="valid")
        assert np.all(along == 2 * kernels.get(f"{name}_x")[:, 2].sum())
        assert not reference.filter2d(y, kernels.get(f"{name}_x"), border="valid").any()


@pytest.mark.parametrize(("name", "angle"), [
    ("edge_vertical", 0), ("edge_antidiagonal", 45), ("edge_horizontal", 90),
    ("edge_diagonal", 135),
])
def test_an_edge_kernel_answers_most_to_its_edge(name, angle):
    y, x = np.mgrid[-8:9, -8:9]
    answers = {}
    for other in (0, 45, 90, 135):
        direction = math.radians(other)
        step = (x * math.cos(direction) + y * math.sin(direction) > 0.1).astype(np.float64)
        answers[other] = np.abs(reference.filter2d(step, kernels.get(name), border="valid")).max()
    assert max(answers, key=answers.get) == angle


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_lines_and_gabor_answer_most_to_their_direction(angle):
    y, x = np.mgrid[-20:21, -20:21]
    theta = math.radians(angle)
    across = np.rint(x * math.cos(theta) + y * math.sin(theta))
    lines = {"line_vertical": 0, "line_antidiagonal": 45, "line_horizontal": 90,
             "line_diagonal": 135}
    thin = (x == 0, x == -y, y == 0, x == y)[angle // 45].astype(np.float64)
    strength = {name: reference.filter2d(thin, kernels.get(name)).max() for name in lines}
    assert lines[max(strength, key=strength.get)] == angle
    stripes = np.cos(across * math.pi / 2)
    strength = {other: reference.filter2d(stripes, kernels.get(
        "gabor", theta=math.radians(other))).max() for other in lines.values()}
    assert max(strength, key=strength.get) == angle


@pytest.mark.parametrize(("name", "flip"), [
    ("corner_top_left", (1, 1)), ("corner_top_right", (1, -1)),
    ("corner_bottom_left", (-1, 1)), ("corner_bottom_right", (-1, -1)),
])
def test_a_corner_kernel_answers_most_to_its_corner(name, flip):
    y, x = np.mgrid[-5:6, -5:6]
    bright = ((y * flip[0] >= 0) & (x * flip[1] >= 0)).astype(np.float64)
    y = reference.filter2d(bright, kernels.get(name), border="edge")
    assert np.unravel_index(y.argmax(), y.shape) == (5, 5)
    assert y.max() == 20
    assert np.sort(y.ravel())[-2] < 20


def test_corner_saddle_and_spot_ignore_straight_edges():
    step = np.repeat([[0.0, 0, 0, 1, 1, 1]], 6, axis=0)
    for name in ("corner_saddle", "corner_spot"):
        assert not reference.filter2d(step, kernels.get(name)).any()
        assert not reference.filter2d(step.T, kernels.get(name)).any()
        assert reference.filter2d(step * step.T, kernels.get(name)).any()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_box(size):
    taps = kernels.get("box", size=size)
    assert taps.shape == (size, size)
    assert taps.sum() == 1
    assert_allclose(taps, 1 / size**2, rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.3, 1, np.float32(1.5), 3])
def test_gaussian_is_the_gaussian_filter(sigma):
    taps = kernels.get("gaussian", sigma=sigma)
    spike = np.zeros((41, 41))
    spike[20, 20] = 1
    margin = (41 - len(taps)) // 2
    assert_allclose(np.pad(taps, margin), reference.gaussian(spike, sigma), atol=1e-15)


def test_gaussian_size_alone_sets_the_width():
    # cv2.getGaussianKernel(11, 0): sigma = 0.3 * ((11 - 1) * 0.5 - 1) + 0.8 = 2.0
    taps = kernels.get("gaussian", size=11)
    assert taps.shape == (11, 11)
    assert_array_equal(taps, kernels.get("gaussian", size=11, sigma=2.0))
    assert kernels.get("gaussian", size=None).shape == (9, 9)


def test_laplacian_of_gaussian_measures_curvature():
    y, x = np.mgrid[-9:10, -9:10].astype(np.float64)
    bowl = reference.filter2d(x**2 + y**2, kernels.get("log"), border="valid")
    assert_allclose(bowl, 4, rtol=1e-2)
    plane = reference.filter2d(3 * x + y, kernels.get("log"), border="valid")
    assert_allclose(plane, 0, atol=1e-13)


def test_difference_of_gaussians_is_like_log():
    taps = kernels.get("dog", sigma=2, size=21).ravel()
    similar = -kernels.get("log", sigma=2 * math.sqrt(1.6), size=21).ravel()
    assert np.corrcoef(taps, similar)[0, 1] > 0.98


def test_unsharp_adds_what_the_blur_removes():
    blur, taps = kernels.get("gaussian", sigma=1), kernels.get("unsharp", sigma=1, amount=2)
    identity = np.zeros((9, 9))
    identity[4, 4] = 1
    assert_allclose(taps, 3 * identity - 2 * blur, atol=1e-14)
    assert_array_equal(kernels.get("unsharp", amount=0), identity)


def test_gabor_phase_and_gain():
    assert_array_equal(kernels.get("gabor"), kernels.get("gabor")[::-1, ::-1])
    odd = kernels.get("gabor", phase=math.pi / 2)
    assert_array_equal(odd, -odd[::-1, ::-1])
    for taps in (odd, kernels.get("gabor", theta=1, wavelength=7, sigma=2, gamma=1, size=15)):
        assert_allclose(taps[taps > 0].sum(), 1)
        assert_allclose(taps[taps < 0].sum(), -1)


@pytest.mark.parametrize("name", PARAMETERISED)
def test_defaults_may_be_given(name):
    assert_array_equal(kernels.get(name, **kernels.parameters(name)), kernels.get(name))


@pytest.mark.parametrize(("name", "given", "error", "message"), [
    ("sobel", {}, ValueError, "unknown kernel 'sobel', did you mean 'sobel_x'? names() lists all"),
    ("gausian", {}, ValueError, "did you mean 'gaussian'?"),
    ("qqq", {}, ValueError, "unknown kernel 'qqq'; names() lists all"),
    (3, {}, TypeError, "name expects a str but got int"),
    ("sobel_x", {"size": 3}, TypeError, "sobel_x has no parameter 'size', expected none"),
    ("box", {"sise": 3}, TypeError, "box has no parameter 'sise', expected size"),
    ("box", {"size": 0}, ValueError, "box size expects a whole number from 1 to 1023 but got 0"),
    ("box", {"size": None}, TypeError, "but got None"),
    ("box", {"size": 2.5}, TypeError, "but got 2.5"),
    ("box", {"size": True}, TypeError, "but got True"),
    ("box", {"size": 10**9}, ValueError, "but got 1000000000"),
    ("gaussian", {"size": 4}, ValueError, "size is 4, expected an odd number up to 1023"),
    ("gaussian", {"sigma": math.nan}, ValueError, "gaussian sigma expects a number of pixels"),
    ("gaussian", {"sigma": np.float64(math.nan)}, ValueError, "from 0.1 to 100 but got nan"),
    ("gaussian", {"sigma": math.inf}, ValueError, "but got inf"),
    ("gaussian", {"sigma": 0}, ValueError, "but got 0"),
    ("log", {"sigma": -1}, ValueError, "log sigma expects"),
    ("dog", {"sigma": "2"}, TypeError, "but got '2'"),
    ("dog", {"ratio": 1}, ValueError, "dog ratio expects a number from 1.1 to 10 but got 1"),
    ("unsharp", {"amount": -1}, ValueError, "unsharp amount expects"),
    ("gabor", {"theta": 45}, ValueError, "gabor theta expects radians from -6.2832 to 6.2832"),
    ("gabor", {"sigma": 100}, ValueError, "size is 1201, expected an odd number up to 1023"),
    ("gabor", {"size": 1}, ValueError, "all taps are 0, expected a larger size or sigma"),
])
def test_errors_say_what_to_do_in_one_line(name, given, error, message):
    with pytest.raises(error) as caught:
        kernels.get(name, **given)
    text = str(caught.value)
    assert text.startswith("kernels.get: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("function", [kernels.describe, kernels.source, kernels.pair,
                                      kernels.parameters])
def test_errors_name_the_function(function):
    with pytest.raises(ValueError, match=rf"^kernels\.{function.__name__}: unknown kernel 'no'"):
        function("no")


def test_a_kernel_is_not_shared():
    first = kernels.get("sobel_x")
    first.setflags(write=True)
    first[:] = 0
    assert kernels.get("sobel_x").any()


@pytest.mark.parametrize("module", [kernels, reference])
def test_docstring_examples(module):
    assert doctest.testmod(module).failed == 0
