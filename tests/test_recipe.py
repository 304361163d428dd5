"""Kernels as the command line writes them, and what each response does to pixels."""

import numpy as np
import pytest
from skimage import data

from fastconv import _recipe, batch, images, kernels, reference


def filtered(pixels, text="sharpen", response="signed", **options):
    """What the recipe makes of pixels (H, W) or (H, W, 3)."""
    (recipe,) = batch.parse_recipes(text, response, **options)
    picture = images.Picture(pixels, 3 if pixels.ndim == 3 else 1)
    return recipe.apply(picture).pixels


@pytest.mark.parametrize("pixels", [data.coffee(), data.camera()], ids=["colour", "grey"])
@pytest.mark.parametrize("name", ["sharpen", "emboss", "sobel_x", "roberts_y"])
@pytest.mark.parametrize("border", ["reflect", "constant"])
def test_response_is_the_reference(pixels, name, border):
    expected = reference.filter2d(pixels, kernels.get(name), border=border,
                                  channel_axis=-1 if pixels.ndim == 3 else None)
    assert np.array_equal(filtered(pixels, name, border=border), expected)


@pytest.mark.parametrize("text, products", [
    ("gaussian:sigma=2", 1), ("box:size=15", 1), ("box:size=52", 1), ("gaussian:sigma=30", 1),
    ("gabor:wavelength=8", 1), ("unsharp:sigma=3", 2), ("log:sigma=3", 2), ("dog:sigma=3", 2),
    ("gabor:wavelength=8,theta=1", None), ("box:size=3", None), ("sobel_x", None),
])
def test_columns_and_rows(text, products):
    (recipe,) = batch.parse_recipes(text)
    (kernel, found), = recipe._kernels
    assert (None if found is None else len(found)) == products
    if found is not None:
        rest = kernel - sum(np.outer(*each) for each in found)
        assert abs(rest).sum() <= 4 * kernel.size * 2**-52 * abs(kernel).sum()


def test_zeros_have_no_products():
    assert _recipe._columns_and_rows(np.zeros((9, 9))) is None


def test_products_that_do_not_serve():
    wave = np.cos(np.arange(20))
    turn = np.outer(wave, np.ones(20)) + 1e-5 * np.outer(np.ones(20), np.arange(20))
    assert len(_recipe._columns_and_rows(turn)) == 2
    for kernel in (turn * 1e200, turn * 1e-200):  # cubes are infinite or 0
        assert _recipe._columns_and_rows(kernel) is None
    # The sums over the largest element's column and row are orthogonal: (R**3)[0, 1] is 0.
    eye = np.zeros((20, 20))
    eye[:2, :2] = [[1, 2], [2, -5]]
    found = _recipe._columns_and_rows(eye)
    assert found is None or abs(eye - sum(np.outer(*each) for each in found)).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("border", ["reflect", "wrap", "constant"])
@pytest.mark.parametrize("text", ["gaussian:sigma=2", "unsharp:sigma=2", "log:sigma=3"])
@pytest.mark.parametrize("response", ["signed", "abs"])
def test_products_of_columns_and_rows(dtype, border, text, response):
    pixels = data.coffee()[:60, :80].astype(dtype)
    name, _, sigma = text.partition(":sigma=")
    kernel = kernels.get(name, sigma=float(sigma))
    expected = reference.filter2d(pixels, kernel, border=border, channel_axis=-1,
                                  out_dtype=np.float64)
    expected = (expected if response == "signed" else abs(expected)) * 3 + 7
    result = filtered(pixels, text, response, border=border, scale=3, delta=7)
    assert result.dtype == dtype
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(result, expected, atol=255 * 8e3 * np.finfo(dtype).eps)
    else:
        limits = np.iinfo(dtype)
        expected = np.clip(expected, limits.min, limits.max)
        assert abs(result - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("text, name, arguments", [
    ("median", "median", {}), ("median:size=5", "median", {"size": 5}),
    ("rank:rank=-2,size=5", "rank", {"rank": -2, "size": 5}),
    ("percentile:q=12.5", "percentile", {"q": 12.5}), ("maximum:size=4", "maximum", {"size": 4}),
    ("minimum", "minimum", {}), ("dilate:size=5", "dilate", {"footprint": 5}),
    ("erode:footprint=2", "erode", {"footprint": 2}), ("opening", "opening", {}),
    ("closing:size=7", "closing", {"footprint": 7}), ("top-hat", "top_hat", {}),
    ("black_hat:size=5", "black_hat", {"footprint": 5}),
    ("morphological-gradient", "morphological_gradient", {}),
])
def test_filters_without_a_kernel(text, name, arguments):
    pixels = data.coffee()[:60, :80]
    expected = getattr(reference, name)(pixels, border="edge", channel_axis=-1, **arguments)
    assert np.array_equal(filtered(pixels, text, border="edge"), expected)


def test_alpha_is_not_for_medians_either():
    pixels = np.dstack([data.coffee(), data.coffee()[..., 0]])[:40, :60]
    (recipe,) = batch.parse_recipes("median")
    result = recipe.apply(images.Picture(pixels, 3, alpha=True)).pixels
    assert np.array_equal(result[..., 3], pixels[..., 3])
    assert np.array_equal(result[..., :3], filtered(pixels[..., :3], "median"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("scale, delta", [(1, 0), (0.25, 3), (-0.5, 100)])
def test_absolute_value(dtype, scale, delta):
    pixels = data.camera().astype(dtype) * (100 if dtype != np.uint8 else 1)
    total = reference.filter2d(pixels, kernels.get("sobel_x"), out_dtype=np.float64)
    limits = np.iinfo(dtype)
    expected = np.clip(np.rint(abs(total) * scale + delta), limits.min, limits.max).astype(dtype)
    result = filtered(pixels, "sobel_x", "abs", scale=scale, delta=delta)
    assert result.dtype == dtype
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("name, x, y", [
    ("sobel", "sobel_x", "sobel_y"), ("scharr-y", "scharr_x", "scharr_y"),
    ("edge_diagonal", "edge_diagonal", "edge_antidiagonal"),
])
def test_magnitude(dtype, name, x, y):
    pixels = data.coffee().astype(dtype) * dtype(257 if dtype == np.uint16 else 1)
    gx, gy = (reference.filter2d(pixels, kernels.get(k), channel_axis=-1, out_dtype=np.float64)
              for k in (x, y))
    expected = np.sqrt(gx * gx + gy * gy)
    result = filtered(pixels, name, "magnitude")
    assert result.dtype == dtype
    if np.dtype(dtype).kind == "u":
        expected = np.minimum(np.rint(expected), np.iinfo(dtype).max)
        assert np.array_equal(result, expected)
    else:
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("response", batch.RESPONSES)
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_is_left_alone(response, colours):
    opacity = data.camera()[:40, :60]
    colour = data.coffee()[:40, :60, :colours]
    picture = images.Picture(np.dstack([colour, opacity]), colours, alpha=True)
    (recipe,) = batch.parse_recipes("sobel_x", response)
    result = recipe.apply(picture).pixels
    assert np.array_equal(result[..., -1], opacity)
    assert np.array_equal(result[..., :-1], filtered(colour, "sobel_x", response))


@pytest.mark.parametrize("text, labels", [
    ("sharpen", ["sharpen"]),
    ("sobel_x,sobel_y", ["sobel_x", "sobel_y"]),
    ("gaussian:sigma=2,size=9,sharpen", ["gaussian-sigma=2-size=9", "sharpen"]),
    ("gaussian:sigma=1,gaussian:sigma=2", ["gaussian-sigma=1", "gaussian-sigma=2"]),
    ("line-diagonal", ["line-diagonal"]),
])
def test_kernel_lists(text, labels):
    assert [recipe.label for recipe in batch.parse_recipes(text)] == labels


def test_kernel_parameters():
    (recipe,) = batch.parse_recipes("gaussian:sigma=0.8,size=5")
    assert np.array_equal(recipe.kernel, kernels.get("gaussian", sigma=0.8, size=5))


@pytest.mark.parametrize("text, message", [
    ("sharpn", "did you mean sharpen"),
    ("", "no kernel or file is called ''"),
    ("sharpen,", "no kernel or file is called ''"),
    ("sharpen,sharpen", "given twice"),
    ("sharpen:sigma=2", "no parameter"),
    ("gaussian:sigma", "not key=number"),
    ("gaussian:sigma=wide", "not key=number"),
    ("gaussian:sigma=nan", "nan"),
    ("gaussian:size=4", "odd"),
    ("medain", "did you mean median"),
    ("median:size=0", "size is 0, expected at least 1"),
    ("median:size=2.5", "size is 2.5, expected an integer"),
    ("median:q=2", "median has no parameter 'q', expected size"),
    ("dilate:q=2", "dilate has no parameter 'q', expected size or iterations"),
    ("percentile:size=5", "percentile needs a parameter, for example percentile:q=1"),
    ("missing.npy", "No such file"),
    ("erode:size=5,size=3", "size is given twice in 'size=5,size=3'"),
    ("erode:size=5,footprint=3", "footprint is given twice"),
    ("gaussian:sigma=1,size=5,sigma=2", "sigma is given twice"),
])
def test_bad_kernels(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        batch.parse_recipes(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text, message", [
    ("sharpen", "at right angles"), ("kernel.txt", "is a file"),
])
def test_magnitude_needs_a_gradient(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernel.txt").write_text("1")
    with pytest.raises(ValueError, match=message):
        batch.parse_recipes(text, "magnitude")


@pytest.mark.parametrize("content, expected", [
    ("1 2 1\n", [[1, 2, 1]]),
    ("# a comment\n 0, -1,0 \n\n-1,5,-1  # another\n", [[0, -1, 0], [-1, 5, -1]]),
    ("0.5\t1e-3\n-2 3\n", [[0.5, 1e-3], [-2, 3]]),
])
def test_text_kernels(tmp_path, content, expected):
    (tmp_path / "my.txt").write_text(content)
    (recipe,) = batch.parse_recipes(str(tmp_path / "my.txt"))
    assert recipe.label == "my"
    assert recipe.kernel.dtype == np.array(expected).dtype
    assert recipe.kernel.tolist() == expected


@pytest.mark.parametrize("content, message", [
    ("", "rows and columns"),
    ("1 2\n3\n", "line 2 has 1 numbers"),
    ("1 x\n", "line 1 is not a row"),
    ("1 2\n3 nan\n", "nan in row 2, column 2"),
    ("inf\n", "inf in row 1, column 1"),
])
def test_bad_text_kernels(tmp_path, content, message):
    (tmp_path / "my.txt").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        batch.parse_recipes(str(tmp_path / "my.txt"))
    assert str(tmp_path / "my.txt") in str(caught.value)


def test_npy_kernels(tmp_path):
    for kernel in (np.ones((3, 5), np.int8), np.ones((2, 2), np.float32), np.eye(3, dtype=bool)):
        np.save(tmp_path / "k.npy", kernel)
        (recipe,) = batch.parse_recipes(str(tmp_path / "k.npy"))
        assert np.array_equal(recipe.kernel, kernel)


@pytest.mark.parametrize("kernel, message", [
    (np.ones(3), "rows and columns"), (np.ones((2, 2, 2)), "rows and columns"),
    (np.ones((2, 2), complex), "real numbers"), (np.array([[None]]), "k.npy"),
    (np.array([[np.nan]]), "nan in row 1"), (np.ones((0, 3)), "rows and columns"),
])
def test_bad_npy_kernels(tmp_path, kernel, message):
    np.save(tmp_path / "k.npy", kernel, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        batch.parse_recipes(str(tmp_path / "k.npy"))


def test_a_kernel_too_large_is_found_before_the_first_photo(tmp_path):
    np.save(tmp_path / "k.npy", np.ones((1, 2**15)))
    with pytest.raises(ValueError, match="kernel"):
        batch.parse_recipes(str(tmp_path / "k.npy"))


def test_damaged_npy_kernel(tmp_path):
    for content in (b"\x93NUMPY\x01\x00", b"garbage", b""):
        (tmp_path / "k.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"k\.npy: no numbers as numpy\.save writes them$"):
            batch.parse_recipes(str(tmp_path / "k.npy"))


def test_kernels_that_differ_only_in_case_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("k.txt", "K.txt"):
        (tmp_path / name).write_text("1")
    with pytest.raises(ValueError, match="given twice"):
        batch.parse_recipes("k.txt,K.txt")
