"""Calls like the last one go straight to the kernel; nothing but the time they take may tell."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import assert_same_bits, clear_plans, poisoned, run_python
from ready import (
    LARGE,
    LAYERS,
    WAYS,
    WINOGRAD,
    assert_same_outcome,
    call_plain,
    each_way,
    layer,
    new_plan,
    outcome,
    ready,
)
from test_arrays import FORMS, strided

import fastconv
from fastconv import _arrays, _config, _conv_plan, _plan, conv, conv2d, plan_conv2d


@each_way
@pytest.mark.parametrize("name", LAYERS)
def test_a_second_call(isa, dtype, way, name, monkeypatch):
    """The same bits, in `out` too; and it was ready: nothing was checked or planned again."""
    one, other = layer(LAYERS[name], dtype), layer(LAYERS[name], dtype, seed=1)
    expected, of_other = way(one)(one.x), way(one)(other.x)
    call = ready(way, one)
    monkeypatch.setattr(conv, "Conv2dPlan", None)
    monkeypatch.setattr(_conv_plan, "_arrays", None)
    for x, y in [(one.x, expected), (other.x, of_other), (one.x, expected)]:
        result, out = call(x), poisoned(y.shape, dtype)
        assert type(result) is np.ndarray
        assert_same_bits(result, y)
        assert call(x, out) is out
        assert_same_bits(out, y)
        read_only = FORMS["read-only"](x)
        assert_same_bits(call(read_only), y)
        assert_same_bits(read_only, x)


@pytest.mark.parametrize("shapes", [WINOGRAD, LARGE], ids=["winograd", "large"])
def test_a_second_call_of_a_large_plan(isa, dtype, shapes, monkeypatch):
    """These are planned each time without a plan; a plan is ready."""
    one = layer(shapes, dtype)
    expected = call_plain(one)(one.x)
    plan = ready(new_plan, one)
    assert_same_bits(ready(call_plain, one)(one.x), expected)
    monkeypatch.setattr(_conv_plan, "_arrays", None)
    out = poisoned(expected.shape, dtype)
    assert plan(one.x, out) is out
    assert_same_bits(out, expected)
    result = plan(one.x)
    assert_same_bits(result, expected)
    assert result.nbytes < _arrays.ALIGNED_BYTES or result.ctypes.data % _arrays.CACHE_LINE == 0


@pytest.mark.parametrize("options", [
    {"stride": 1.0}, {"stride": True}, {"stride": np.int64(1)}, {"stride": [1, 1]},
    {"stride": np.array([1, 1])}, {"stride": None}, {"stride": 0}, {"stride": (1, 1, 1)},
    {"padding": 1.0}, {"padding": True}, {"padding": np.int64(1)}, {"padding": [1, (1, 1)]},
    {"padding": "same"}, {"padding": "valid"}, {"padding": "full"}, {"padding": -1},
    {"padding": np.ones((2, 2), int)}, {"dilation": 1.0}, {"dilation": [1, 1]}, {"groups": 1.0},
    {"groups": True}, {"groups": 3}, {"groups": None}, {"padding_mode": "constant"},
    {"padding_mode": ("zeros", "zeros")}, {"padding_mode": ["zeros", "wrap"]},
    {"padding_mode": np.array(["zeros", "wrap"])}, {"padding_mode": None}, {"padding_mode": {}},
    {"layout": ["NCHW"]}, {"layout": "nchw"}, {"layout": "NHWC"}, {"layout": np.str_("NCHW")},
    {"algorithm": "direct"}, {"algorithm": ["auto"]}, {"algorithm": "winograd"},
    {"bias": np.ones(5)}, {"bias": [1, 2, 3]}, {"residual": 1.0}, {"activation": "relu"},
    {"activation": []}, {"threads": 1.0}, {"threads": 0}, {"threads": True}, {"threads": 2},
], ids=str)  # fmt: skip
def test_other_arguments_after_a_ready_call(options):
    """An argument that is equal to another, or hashes like it, is not the same."""
    one = layer(LAYERS["pixels"], "float64")

    def planned(threads=None, residual=None, **more):
        plan = plan_conv2d(one.weight, **{**one.options, **more})
        return plan(one.x, threads=threads, residual=residual)

    expected = outcome(planned, **options)
    if isinstance(expected, tuple):
        expected = expected[0], expected[1].replace("plan_conv2d", "conv2d")
    for call in call_plain(one), ready(call_plain, one):
        assert_same_outcome(outcome(call, one.x, **options), expected)


@pytest.mark.parametrize("threads", [
    1, 1.0, True, np.int64(1), np.array(1), np.array([1, 1]), "1", 0, -1, 2, 2.0, 4096, 4097,
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("before", [None, 1, 2])
def test_threads_after_a_ready_call(threads, before):
    one = layer(LAYERS["pixels"], "float32")
    expected = outcome(new_plan(one), one.x, threads=threads)
    plan = new_plan(one)
    plan(one.x, threads=before)
    for again in (threads, threads, before):
        actual = outcome(plan, one.x, threads=again)
        assert_same_outcome(actual, plan(one.x) if again is before else expected)


@each_way
def test_both_dtypes_and_sizes_in_turn(way):
    """Of the same shapes, then of others; the rows and columns exchanged, too."""
    layers = [layer(LAYERS["pixels"], dtype) for dtype in ("float32", "float64")]
    layers += [one._replace(x=one.x.swapaxes(2, 3).copy()) for one in layers]
    layers += [one._replace(x=one.x[:, :, 1:].copy()) for one in layers]
    expected = [way(one)(one.x) for one in layers]
    clear_plans()
    plans = {dtype: new_plan(layer(LAYERS["pixels"], dtype)) for dtype in ("float32", "float64")}
    for _ in range(3):
        for one, y in zip(layers, expected, strict=True):
            assert_same_bits(conv2d(one.x, one.weight, **one.options), y)
            assert_same_bits(plans[one.x.dtype.name](one.x), y)


def test_a_plain_call_keeps_no_weights(dtype):
    one, other = (layer(LAYERS["pixels"], dtype, seed) for seed in (0, 1))
    expected = call_plain(other)(one.x)
    call = ready(call_plain, one)
    one.weight[...] = other.weight
    assert_same_bits(call(one.x), expected)


@pytest.mark.parametrize("shapes", [LAYERS["pixels"], WINOGRAD], ids=["pixels", "winograd"])
def test_a_plan_keeps_its_weights(dtype, shapes):
    one = layer(shapes, dtype)
    bias = np.ones(len(one.weight), dtype)
    plan = plan_conv2d(one.weight, bias, **one.options)
    expected = conv2d(one.x, one.weight, bias, **one.options)
    for changed in (0, np.nan):  # before the first call, and before the second
        one.weight[...], bias[...] = changed, changed
        assert_same_bits(plan(one.x), expected)


@each_way
def test_the_instruction_set_in_use(way, tasks):
    """Each is planned for once, and then used in turn."""
    one = layer(LAYERS["pixels"], "float32")
    call, names = way(one), fastconv.available_isas()
    expected = call(one.x)
    tasks.clear()
    for isa in names * 3:
        with _config.use_isa(isa):
            assert_same_bits(call(one.x), expected)
    assert len(tasks) == len(names) - (_config.isa() in names)


def test_few_calls_are_kept(monkeypatch):
    monkeypatch.setattr(_plan, "CACHED_PLANS", 2)
    x, weight = np.arange(36.0).reshape(1, 1, 6, 6), np.ones((1, 1, 2, 2))
    expected = conv2d(x, weight)
    for _ in range(2):
        for rows in range(2, 7):
            assert_same_bits(conv2d(x[:, :, :rows].copy(), weight), expected[:, :, : rows - 1])
            assert len(conv._small_calls) <= 2


def test_a_setting_of_threads_that_is_wrong(monkeypatch):
    """A ready small call asks for no setting; a large one says what is wrong with it."""
    small, large = layer(LAYERS["pixels"], "float32"), layer(LARGE, "float32")
    for way in WAYS.values():
        small_call, large_call = ready(way, small), new_plan(large)
        expected = small_call(small.x), large_call(large.x)
        large_call(large.x)
        with monkeypatch.context() as patch, pytest.raises(ValueError, match="expected 1 to"):
            patch.setenv("FASTCONV_NUM_THREADS", "no")
            assert_same_bits(small_call(small.x), expected[0])
            large_call(large.x)
        with monkeypatch.context() as patch, pytest.raises(ValueError, match="expected 1 to"):
            patch.setenv("FASTCONV_NUM_THREADS", "no")
            conv2d(large.x, large.weight, **large.options)
        with pytest.raises(ValueError, match="n is 0"):
            fastconv.set_num_threads(0)
        assert_same_bits(small_call(small.x), expected[0])
        assert_same_bits(large_call(large.x), expected[1])


def test_the_number_of_threads_that_is_set(tasks):
    """A large plan is planned again for another number; None goes back."""
    one = layer(LARGE, "float32")
    plan = new_plan(one)
    expected = plan(one.x, threads=1)
    try:
        for n in (2, 3, 2, 1):
            fastconv.set_num_threads(n)
            assert_same_bits(plan(one.x), expected)
            assert plan._call.threads == n
            assert_same_bits(plan(one.x, threads=3), expected)
            assert plan._call.threads == 3
    finally:
        fastconv.set_num_threads(None)
    assert len(tasks) == 3


@pytest.mark.parametrize("shapes", [LAYERS["pixels"], LAYERS["NHWC"], WINOGRAD], ids=str)
def test_many_threads_through_one_plan(shapes):
    """With arrays of their own, of several sizes."""
    one = layer(shapes, "float32")
    xs = [np.roll(one.x, i, 2)[:, :, i % 2 :].copy() for i in range(8)]
    expected = [new_plan(one)(x) for x in xs]
    plan = new_plan(one)

    def check(i):
        out = poisoned(expected[i].shape, "float32")
        for _ in range(5):
            assert_same_bits(plan(xs[i]), expected[i])
            assert plan(xs[i], out) is out
            assert_same_bits(out, expected[i])
            assert_same_bits(conv2d(xs[i], one.weight, **one.options), expected[i])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, range(8), timeout=60))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_ready_call_in_a_child():
    run_python("""
        import os
        from ready import *

        one = layer(LAYERS["pixels"], "float32")
        calls = ready(new_plan, one), ready(call_plain, one)
        expected = calls[0](one.x)
        shared = new_plan(one)
        shared(one.x, threads=2)
        for _ in range(3):
            child = os.fork()
            if child == 0:
                try:
                    for call in calls:
                        assert_same_bits(call(one.x), expected)
                    assert_same_bits(shared(one.x, threads=2), expected)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            assert_same_bits(shared(one.x, threads=2), expected)
    """)


@each_way
def test_results_of_size_0(way):
    one = layer(LAYERS["pixels"], "float32")
    expected = way(one)(one.x)
    call = ready(way, one)
    for _ in range(3):
        none = call(one.x[:0])
        assert (none.shape, none.dtype) == ((0, *expected.shape[1:]), one.x.dtype)
        assert call(one.x[:0], none) is none
        assert conv2d(one.x, one.weight[:0], padding=1).shape == (2, 0, 6, 17)
        assert_same_bits(call(one.x), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**60])
def test_weights_that_winograd_cannot_take(value):
    """Of the fewest channels and tiles that it takes; before and after weights that it can take."""
    one = layer(WINOGRAD, "float32")
    weight = one.weight.copy()
    weight[3, 5, 1, 1] = value
    moderate, other = call_plain(one)(one.x), call_plain(one)(one.x, weight=weight)
    assert not np.array_equal(moderate[:, 4], call_plain(one)(one.x, algorithm="direct")[:, 4])
    call = call_plain(one)
    for _ in range(3):
        assert_same_bits(call(one.x, weight=weight), other)
        assert_same_bits(call(one.x), moderate)
        assert_same_bits(call(strided(one.x)), moderate)
