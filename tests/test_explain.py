"""What explain_plan says is what conv2d does, and saying it takes neither memory nor work."""

import inspect
import tracemalloc

import numpy as np
import pytest

import fastconv
from fastconv import _arrays, _config, _explain, _plan, conv2d, explain_plan


def wide(*shape, dtype="float32", value=0):
    """An array of any shape that takes no memory."""
    return np.broadcast_to(np.array(value, dtype), shape)


def said(x, weight, **options):
    """The lines of the text, by what each is about; x and weight are shapes, or arrays."""
    arrays = (each if isinstance(each, np.ndarray) else wide(*each) for each in (x, weight))
    lines = {}
    for line in explain_plan(*arrays, **options).splitlines():
        name = line[:12].strip() or "more"
        assert name not in lines
        lines[name] = line[12:]
    return lines


def test_the_arguments_are_those_of_conv2d():
    expected = dict(inspect.signature(conv2d).parameters)
    del expected["out"]
    assert dict(inspect.signature(explain_plan).parameters) == expected


MANY, CROSS = (1, 48, 40, 40), (16, 48, 3, 3)


@pytest.mark.parametrize(("x", "weight", "options", "algorithm", "reason", "refusal"), [
    (MANY, CROSS, {}, "winograd_4x4", "36 products do the work of 144", None),
    ((1, 40, 40, 48), CROSS, {"layout": "NHWC"}, "winograd_4x4", "36 products", None),
    ((1, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}, "winograd_2x2",
     "16 products do the work of 36", None),
    (MANY, CROSS, {"algorithm": "direct"}, "direct_pixel", "", "was asked for"),
    ((1, 96, 33, 57), (96, 96, 3, 3), {"stride": 2}, "winograd_stride_2",
     "81 products do the work of 144", None),
    (MANY, CROSS, {"stride": 2}, "direct_channel", "", "these channels and this size"),
    (MANY, CROSS, {"stride": 3}, "direct_channel", "", "3x3 kernels at stride 1 or 2"),
    ((1, 40, 40, 15), (16, 15, 3, 3), {"layout": "NHWC"}, "direct_channel", "neighbours in NHWC",
     "from 16 ch"),
    ((1, 15, 40, 20), (16, 15, 3, 3), {}, "direct_channel", "better than the pixels", "from 16 ch"),
    ((9, 48, 2, 2), CROSS, {"padding": 1}, "direct_channel", "", "these channels and this size"),
    # Tiles of 4x4 would be less accurate than promised.
    ((1, 47, 40, 40), (16, 47, 3, 3), {}, "winograd_3x3", "25 products do the work of 81", None),
    ((1, 16, 18, 18), (16, 16, 3, 3), {}, "direct_pixel", "", "estimated to be faster"),
    ((1, 9999, 40, 40), (99, 9999, 3, 3), {}, "direct_channel", "", "too much memory"),
    (MANY, wide(*CROSS, value=1e30), {}, "direct_pixel", "", "weights are so large"),
    (MANY, wide(*CROSS, value=np.nan), {}, "direct_pixel", "", "(or NaN)"),
    ((1, 15, 40, 50), (16, 15, 3, 3), {}, "direct_pixel", "pixels of a row fill", ""),
    ((1, 16, 40, 40), (16, 16, 1, 1), {}, "direct_pixel", "a matrix product, so", ""),
    ((1, 8, 9, 9), (8, 1, 3, 3), {"groups": 8}, "depthwise_plane", "each plane is for itself", ""),
    ((1, 9, 9, 8), (8, 1, 3, 3), {"groups": 8, "layout": "NHWC"}, "depthwise", "each channel", ""),
])  # fmt: skip
def test_the_algorithm_and_its_reason(tasks, x, weight, options, algorithm, reason, refusal):
    lines = said(x, weight, **options)
    name, _, why = lines["algorithm"].partition(": ")
    assert [name] == [algorithm] == [task.algorithm for task in tasks]
    assert reason in why
    if refusal is None:
        assert "more" not in lines
    else:
        assert lines["more"].startswith("not winograd: ") and refusal in lines["more"]


@pytest.mark.parametrize(("x", "weight", "options", "of"), [
    ((2, 48, 40, 40), CROSS, {}, ""),
    ((1, 4, 30, 500), (6, 2, 5, 5), {"groups": 2, "padding": 2}, " of a group"),
    ((1, 9, 9, 8), (8, 1, 3, 3), {"groups": 8, "layout": "NHWC"}, " of every group"),
    ((1, 64, 20, 20), (70, 64, 1, 1), {"activation": "gelu"}, ""),
])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_figures_are_those_of_the_call(isa, tasks, x, weight, options, of, threads):
    conv2d(np.zeros(x, np.float32), np.zeros(weight, np.float32), threads=threads, **options)
    lines = said(x, weight, threads=threads, **options)
    assert len(tasks) == 1  # the text is of the plan that the call had
    sizes = tasks[0].sizes
    rows, cols, c, k = (sizes[f"block_{name}"] for name in ("rows", "cols", "c", "k"))
    blocks = f"{rows} x {cols} outputs (rows x columns), channels: {c} in, {k} out{of}; "
    assert lines["blocks"].startswith(blocks)
    assert lines["threads"] == f"{threads}: as the call says"
    assert lines["memory"].startswith(f"scratch {tasks[0].scratch_bytes:,} bytes per thread, ")
    assert lines["call"].endswith(isa)


@pytest.mark.parametrize(("name", "x", "weight", "options", "algorithm"), [
    ("conv1d", (2, 3, 900), (40, 3, 9), {"stride": 2, "padding": "causal"}, "direct_pixel"),
    ("conv1d", (2, 900, 3), (40, 3, 9), {"layout": "NWC", "activation": "relu"}, "direct_channel"),
    ("conv3d", (1, 16, 4, 40, 41), (16, 16, 3, 3, 3), {"padding": 1}, "winograd_4x4"),
    ("conv3d", (1, 5, 9, 8, 4), (8, 1, 2, 3, 3), {"groups": 4, "layout": "NDHWC"},
     "direct_channel"),
])  # fmt: skip
def test_one_and_three_dimensions(tasks, name, x, weight, options, algorithm):
    y = getattr(fastconv, name)(np.zeros(x, np.float32), np.zeros(weight, np.float32), **options)
    text = explain_plan(name, wide(*x), wide(*weight), **options)
    assert [task.algorithm for task in tasks] == [algorithm]  # the text is of the call's plan
    sizes = tasks[0].sizes
    rows, cols, c, k = (sizes[f"block_{each}"] for each in ("rows", "cols", "c", "k"))
    assert f"\nalgorithm   {algorithm}: " in text
    blocks = f"blocks      {rows} x {cols} outputs (rows x columns), channels: {c} in, {k} out"
    assert f"\n{blocks}" in text
    assert text.startswith(f"call        float32 {x} by {weight} gives {y.shape}, ")
    assert text.endswith(f"{name} packs the weights each time, plan_{name} once")


def test_what_three_dimensions_take(monkeypatch):
    """Of 2 x 3 x 4 x 5 elements and one weight, which sees each of them once."""
    monkeypatch.setattr(_explain, "_peak", lambda isa, bits: 200e9)
    text = explain_plan("conv3d", wide(2, 1, 3, 4, 5), wide(1, 1, 1, 1, 1))
    assert "\narithmetic  240 FLOP; 0.0012 us at" in text
    assert "\nbytes       964 B (input, weights, result once); " in text


@pytest.mark.parametrize(("call", "error", "message"), [
    (("conv3d", wide(1, 2, 3), wide(1, 2, 3)), ValueError,
     "explain_plan: weight has shape (1, 2, 3), expected (K, C // groups, kd, kh, kw)"),
    (("conv1d", wide(1, 2, 3)), TypeError,
     "explain_plan: conv1d has a call that does not fit: missing a required argument: 'weight'"),
    (("conv4d", wide(1, 2, 3)), ValueError,
     "explain_plan: x is 'conv4d', expected an array, or one of conv1d, conv2d, conv3d, "),
])  # fmt: skip
def test_questions_that_do_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        explain_plan(*call)
    assert str(caught.value).startswith(message)


def test_units_and_packed_weights(monkeypatch):
    planned = []
    plan = _plan.conv2d_and_why
    monkeypatch.setattr(_plan, "conv2d_and_why", lambda *args: planned.append(plan(*args)) or
                        planned[-1])  # fmt: skip
    lines = said(MANY, CROSS)
    task = planned[0][0]
    assert lines["blocks"].endswith(f"; {task.units} in all")
    assert lines["memory"].endswith(f"packed weights {4 * task.packed_size:,} bytes")


def test_threads_and_their_reason():
    try:
        fastconv.set_num_threads(3)
        assert said(MANY, CROSS)["threads"].startswith("1: less work than about 400 us")
        assert said((99, 64, 99, 99), (64, 64, 3, 3))["threads"].startswith("3: as many as set_num")
    finally:
        fastconv.set_num_threads(None)


@pytest.mark.parametrize(("x", "weight", "options", "arithmetic", "moved", "one_thread"), [
    # 2 * 9 * 64 * 64 * 56**2 operations; the tiles are whole.
    ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1, "algorithm": "direct"},
     "231 MFLOP; 1.16 ms at 200 GFLOP/s", None, "at least 1.16 ms, limited by arithmetic"),
    # 196 tiles of 36 * 64 * 64 + 600 * (64 + 64) multiply-adds.
    ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1},
     "231 MFLOP; 36/144 of the products, and the transforms: 440 us at 200 GFLOP/s",
     None, "at least 440 us, limited by arithmetic"),
    # 58 rows take 15 tiles: the work of 60.
    ((1, 64, 58, 60), (64, 64, 3, 3), {"padding": 1}, "257 MFLOP; ", None, "at least 505 us"),
    # 10**6 elements in, as many out, one weight.
    ((1, 1, 1000, 1000), (1, 1, 1, 1), {},
     "2 MFLOP; 10 us at 200 GFLOP/s", "8 MB (input, weights, result once); 320 us at 25 GB/s",
     "at least 320 us, limited by bytes moved"),
    ((1, 1, 1000, 1000), (1, 1, 1, 1), {"residual": wide(1, 1, 1000, 1000)},
     "2 MFLOP", "12 MB (input, weights, residual, result once); 480 us", "at least 480 us"),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}, "2 FLOP; 1e-05 us", "12 B (", "at least 0.00048 us"),
    ((1000, 1000, 1000, 1000), (1000, 1000, 1, 1), {},
     "2 PFLOP; 10000 s", "8 TB (", "at least 10000 s"),
])  # fmt: skip
def test_what_limits_a_call(monkeypatch, x, weight, options, arithmetic, moved, one_thread):
    monkeypatch.setattr(_explain, "_peak", lambda isa, bits: 200e9)
    lines = said(x, weight, **options)
    assert lines["arithmetic"].startswith(arithmetic)
    assert lines["bytes"].startswith(moved or "")
    assert lines["one thread"].startswith(one_thread)


def test_the_peak_is_measured_once(isa):
    assert _explain._peak(isa, 32) == _explain._peak(isa, 32) > 0


def test_an_empty_result_has_no_plan(tasks):
    lines = said((0, 3, 8, 8), (5, 3, 3, 3))
    assert list(lines) == ["call", "algorithm"]
    assert lines["algorithm"] == "none: the result is empty, so nothing is computed"
    assert not tasks


def test_arrays_are_not_copied(monkeypatch):
    """Neither a terabyte that repeats one number nor what conv2d would have to copy."""
    x, weight = np.zeros((1, 48, 256, 256), ">f4")[..., ::-1], wide(*CROSS)
    monkeypatch.setattr(_arrays, "_physical_memory", lambda: 2**20)
    said(MANY, CROSS)  # what is made once
    tracemalloc.start()
    try:
        assert said(x, weight) == said(np.zeros_like(x, "=f4"), weight)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        said(x, weight)
        large = said((1000, 256, 1000, 1000), (256, 256, 5, 5), bias=wide(256),
                     residual=wide(1000, 256, 996, 996))  # fmt: skip
        assert tracemalloc.get_traced_memory()[1] - before < 2**19
    finally:
        tracemalloc.stop()
    assert large["call"].endswith(
        f"(1000, 256, 1000, 1000) by (256, 256, 5, 5) gives (1000, 256, 996, 996), NCHW, "
        f"{_config.isa()}"
    )
