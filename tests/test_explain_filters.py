"""What explain_plan says of an image filter is what the filter does; nothing is computed."""

import tracemalloc

import numpy as np
import pytest
from operations import OPERATIONS

import fastconv
from fastconv import _explain, explain_plan, filters

FILTERS = {
    name: each for name, each in OPERATIONS.items()
    if getattr(each.function, "__name__", "") in filters.__all__
}  # fmt: skip
# What every function takes beside the image.
ARGUMENTS = {
    "filter2d": (np.ones((3, 3)),), "sep_filter2d": ([1.0, 2], [3.0]), "gaussian": (2,),
    "box": (5,), "local_mean_std": (5,), "percentile": (30,), "rank": (2,),
    "difference_of_gaussians": (1,), "laplacian_of_gaussian": (1,),
}  # fmt: skip
SEVERAL = {
    "closing": 2, "opening": 2, "top_hat": 2, "black_hat": 2, "morphological_gradient": 2,
    "difference_of_gaussians": 2, "laplacian_of_gaussian": 2,
}  # fmt: skip


def wide(*shape, dtype="float32"):
    return np.broadcast_to(np.zeros((), dtype), shape)


def said(name, image, *arguments, **options):
    """Its lines, as pairs of what each is about and the text."""
    lines = explain_plan(name, image, *arguments, **options).splitlines()
    return [(line[:12].strip(), line[12:]) for line in lines]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
@pytest.mark.parametrize("name", FILTERS)
def test_the_plans_are_those_of_the_call(isa, tasks, name, dtype):
    """The call has planned all of them; the text adds none."""
    each = FILTERS[name]
    arrays = each.arrays(dtype, 37)
    result = each(arrays, threads=2)
    planned = list(tasks)
    lines = said(each.function.__name__, **arrays, **each.options, threads=2)
    assert tasks == planned
    first = result[0] if isinstance(result, tuple) else result
    assert f" gives {first.dtype.name} {first.shape}" in lines[0][1]
    assert lines[0][1].endswith(f", {isa}")
    algorithms = [text.partition(":")[0] for key, text in lines if key == "algorithm"]
    assert set(algorithms) == {task.algorithm for task in planned}
    blocks = {f"{t.sizes['block_rows']} x {t.sizes['block_cols']}" for t in planned}
    assert {text.partition(" outputs")[0] for key, text in lines if key == "blocks"} == blocks
    threads = {text for key, text in lines if key == "threads"}
    stored = "1: each block of results is rounded and stored by one thread"
    assert {"2: as the call says"} <= threads <= {"2: as the call says", stored}
    memory = {f"scratch {task.scratch_bytes:,} bytes per thread" for task in planned}
    assert {text for key, text in lines if key == "memory"} == memory


@pytest.mark.parametrize("name", filters.__all__)
def test_every_function_has_its_passes(name):
    lines = said(name, wide(2, 500, 300), *ARGUMENTS.get(name, ()))
    keys = [key for key, _ in lines]
    one = ["algorithm", "type", "blocks", "threads", "memory", "arithmetic", "bytes", "one thread"]
    passes = SEVERAL.get(name, 1)
    if passes == 1:
        assert keys == ["call", *one]
    else:
        each = [key for i in range(1, passes + 1) for key in (f"pass {i}", *one)]
        assert keys == ["call", "passes", *each, "all passes"]
        assert lines[1][1].startswith(f"{passes}")


MEDIAN, SQUARE, RED = wide(9, 90), np.ones((3, 3), int), wide(99, 99, dtype="uint8")


@pytest.mark.parametrize(("name", "image", "arguments", "options", "algorithm", "dtype"), [
    ("filter2d", RED, (SQUARE,), {}, "filter_integer: few integers", "int16: uint8 under"),
    ("filter2d", RED, (SQUARE,), {"stride": 2}, "filter2d: every element", "float32: "),
    ("filter2d", RED, (SQUARE * 0.5,), {}, "filter2d: every element", "float32: it holds"),
    ("filter2d", RED, (SQUARE,), {"scale": 0.3}, "filter2d: ", "float64: float32 would not"),
    ("sobel", RED, (), {}, "filter_integer_separable: a column times a row, of", "int16: "),
    ("sobel", MEDIAN, (), {}, "filter_gradient: rows are summed and subtracted first", "float32: "),
    ("gradient", MEDIAN, (), {"outputs": ("dx",)}, "filter_gradient: slopes, and", "float32: "),
    ("gaussian", MEDIAN, (2,), {}, "filter_separable: a column times a row: kh", "float32: "),
    ("gaussian", wide(9, 9, dtype="float64"), (2,), {"method": "recursive"},
     'filter_recursive: method="recursive" was asked for', "float64: the image or"),
    ("box", RED, (9,), {}, "filter_box: sums of uint8 are integers", "uint16: sums of uint8"),
    ("box", MEDIAN, (9,), {}, "filter_slide: at most 9 rows and columns", "float32: "),
    ("filter2d", MEDIAN, (np.eye(5),), {}, "filter_rolling: 5 or 7 rows", "float32: "),
    ("filter2d", MEDIAN, (np.ones((31, 31)),), {}, "filter_winograd: 600 elements or", "float32: "),
    ("filter2d", MEDIAN, (np.ones((31, 31)),), {"algorithm": "direct"},
     'filter2d: algorithm="direct" was asked for', "float32: "),
    ("maximum", RED, (10,), {}, "filter_window: more than 9", "uint8: pixels are compared"),
    ("dilate", RED, (np.eye(3),), {}, "filter_footprint: a footprint", "uint8: pixels"),
    ("median", RED, (3,), {}, "filter_median: the median of 3x3 or 5x5", "uint8: pixels"),
    ("median", RED, (7,), {}, "filter_network: a small window", "uint8: pixels"),
    ("median", RED, (21,), {}, "filter_rank: a large window of uint8: hist", "uint8: pixels"),
    ("median", MEDIAN, (21,), {}, "filter_rank: a large window: pixels are", "float32: pixels are"),
    ("median", wide(9, 9, dtype="int16"), (15,), {}, "filter_rank: ",
     "float32: pixels are compared, not summed; it holds all numbers of int16"),
    ("dilate", wide(9, 9, dtype="float64"), (3,), {}, "filter_slide: ", "float64: pixels are"),
    ("median", wide(9, 9, dtype="uint16"), (3,), {}, "filter_median: ", "uint16: pixels are"),
    ("median", wide(9, 9, dtype="int16"), (3,), {}, "filter_median: ",
     "uint16: pixels are compared, not summed; int16 is in order as uint16 once"),
    ("erode", wide(9, 9, dtype="uint16"), (3,), {"border": "constant", "cval": -1},
     "filter_slide: ", "float32: pixels are"),
    ("median", wide(9, 9, dtype="bool"), (3,), {}, "filter_median: ", "uint8: pixels are"),
])  # fmt: skip
def test_reasons(name, image, arguments, options, algorithm, dtype):
    lines = dict(said(name, image, *arguments, **options))
    assert lines["algorithm"].startswith(algorithm)
    assert lines["type"].startswith(dtype)


def test_limits(monkeypatch):
    monkeypatch.setattr(_explain, "_peak", lambda isa, bits: 200e9)
    lines = dict(said("filter2d", wide(1000, 1000), np.ones((5, 5)), stride=(2, 1)))
    # 500 x 1000 outputs of 25 multiply-adds; 4 MB in, 2 MB out.
    assert lines["arithmetic"].startswith("25 MFLOP; 125 us at 200 GFLOP/s (the peak of multiply")
    assert lines["bytes"].startswith("6 MB (image and result once); 240 us at 25 GB/s")
    assert lines["one thread"] == "at least 240 us, limited by bytes moved"
    assert "of a 5x5 window, 2 rows and 1 columns apart; " in lines["blocks"]
    lines = dict(said("filter2d", wide(1000, 1000), np.ones((9, 9))))
    assert lines["one thread"] == "at least 810 us, limited by arithmetic"
    lines = dict(said("filter2d", wide(1000, 1000, dtype="uint8"), SQUARE))
    # 18 million at twice the rate of floats.
    assert lines["arithmetic"].startswith("18 MFLOP; 45 us at 400 GFLOP/s (the peak of")
    assert lines["arithmetic"].endswith("measured here on floats, times 2)")


def test_blocks_and_all_passes(monkeypatch):
    monkeypatch.setattr(_explain, "_peak", lambda isa, bits: 200e9)
    lines = said("difference_of_gaussians", wide(7, 1000, 1000), 1)
    assert lines[1][1].startswith("2 over 21 blocks of 1 x 334 x 1000 outputs (images x rows x col")
    assert lines[2][1] == "float32 346 x 1000 gives float32, each time"
    # 346000 float32 in and out: 110.72 us; twice for each of 21.
    assert lines[-1][1].startswith("at least 4.65 ms on one thread")
    lines = said("opening", wide(7, 1000, 250), 3)
    assert lines[1][1] == "2, each over the whole image, one after the other"


def test_neither_memory_nor_work():
    for name in filters.__all__:  # what is made once
        said(name, wide(20, 30, 40), *ARGUMENTS.get(name, ()))
    tracemalloc.start()
    try:
        for name in filters.__all__:
            for shape in ((50, 20_000, 20_000), (100_000, 100_000)):
                said(name, wide(*shape, dtype=">f4"), *ARGUMENTS.get(name, ()))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_channels_empty_batches_and_threads():
    lines = dict(said("gaussian", wide(5, 40, 50, 3), 1, channel_axis=3))
    assert lines["call"].startswith("gaussian of float32 (5, 40, 50, 3) gives float32 (5, 40, 50,")
    for name in ("gaussian", "harris", "opening", "local_mean_std"):
        arguments = ARGUMENTS.get(name, ())
        lines = dict(said(name, wide(40, 50, 0), *arguments, channel_axis=-1))
        assert lines["algorithm"] == "none: the result is empty, so nothing is computed"
        lines = dict(said(name, wide(0, 40, 50), *arguments))
        assert lines["algorithm"] == "none: the result is empty, so nothing is computed"
    try:
        fastconv.set_num_threads(3)
        assert dict(said("gaussian", wide(9, 9), 1))["threads"].startswith("1: less work than")
        assert dict(said("gaussian", wide(9999, 999), 1))["threads"].startswith("3: as many as")
    finally:
        fastconv.set_num_threads(None)


@pytest.mark.parametrize(("call", "options", "error", "words"), [
    (("blur", RED), {}, ValueError, "explain_plan: x is 'blur', expected an array, or one of"),
    (("gaussian", RED), {}, TypeError, "explain_plan: gaussian has a call that does not fit: mis"),
    (("gaussian", RED, 1), {"size": 3}, TypeError, "does not fit: got an unexpected keyword"),
    (("gaussian", RED, -1), {}, ValueError, "gaussian: sigma is -1.0, expected at least 0"),
    (("gaussian", RED, 1), {"threads": 0}, ValueError, "gaussian: threads is 0"),
    (("gaussian", RED, 1), {"out": RED}, TypeError, "explain_plan: out is an array, expected"),
    (("gaussian", RED[0], 1), {}, ValueError, "gaussian: image has shape (99,), expected"),
    (("gaussian", None, 1), {}, TypeError, "gaussian: image is None, expected an array"),
    (("gaussian", wide(2**30, 2**30), 1), {}, ValueError, "image takes 4.1e+03 PiB, expected at"),
])  # fmt: skip
def test_errors(call, options, error, words):
    with pytest.raises(error) as caught:
        explain_plan(*call, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert np.all(filters.box(np.ones((9, 9)), 3) == 1)  # nobody asks any more


def test_a_function_in_the_place_of_its_name():
    image = np.zeros((40, 50), np.uint8)
    assert explain_plan(filters.median, image, 5) == explain_plan("median", image, 5)
