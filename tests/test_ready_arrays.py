"""Arrays of every form after a call that made the next ones ready: as in a first call."""

import warnings

import numpy as np
import pytest
from helpers import assert_same_bits
from ready import LAYERS, assert_same_outcome, call_plain, each_way, layer, outcome, ready
from test_arrays import FORMS


def forms(array):
    """The array in every form of memory, and others of its shape."""
    yield from ((name, make(array)) for name, make in FORMS.items())
    yield "broadcast", np.broadcast_to(array[:1], array.shape)
    yield "masked", np.ma.array(array)
    with warnings.catch_warnings(action="ignore"):  # pending: matrices may go one day
        yield "matrix", np.asmatrix(array.reshape(len(array), -1))
    yield "list", array.tolist()
    yield "other float", array.astype("float64" if array.dtype == "float32" else "float32")
    yield "integers", array.astype(np.int32)
    yield "objects", array.astype(object)
    yield "times", array.astype("timedelta64[s]")
    yield "flat", array.reshape(-1)
    yield "five axes", array[None]
    yield "longer", np.concatenate([array, array])
    yield "turned", array.swapaxes(2, 3)
    yield "None", None


@each_way
@pytest.mark.parametrize("name", LAYERS)
def test_inputs_of_every_form(dtype, way, name):
    one = layer(LAYERS[name], dtype)
    for form, x in forms(one.x):
        expected = outcome(way(one), x)
        assert_same_outcome(outcome(ready(way, one), x), expected, form)


def test_weights_of_every_form(dtype):
    one = layer(LAYERS["pixels"], dtype)
    for form, weight in forms(one.weight):
        expected = outcome(call_plain(one), one.x, weight=weight)
        actual = outcome(ready(call_plain, one), one.x, weight=weight)
        assert_same_outcome(actual, expected, form)


@each_way
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_of_every_form(dtype, way, name):
    """The same result in them, or the same error and nothing written."""
    one = layer(LAYERS[name], dtype)
    y = way(one)(one.x)
    for (form, out), (_, expected_out) in zip(forms(y.copy()), forms(y.copy()), strict=True):
        if form == "read-only":
            assert "read-only" in outcome(ready(way, one), one.x, out)[1]
        expected = outcome(way(one), -one.x, expected_out)
        actual = outcome(ready(way, one), -one.x, out)
        assert_same_outcome(actual, expected, form)
        assert (actual is out) == (expected is expected_out)
        np.testing.assert_array_equal(out, expected_out, form)


@each_way
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_memory_maps(tmp_path, way, mode):
    one = layer(LAYERS["pixels"], "float32")
    expected = way(one)(one.x)
    np.save(tmp_path / "x.npy", one.x)
    np.save(tmp_path / "y.npy", np.zeros_like(expected))
    x, out = (np.load(tmp_path / name, mmap_mode=mode) for name in ("x.npy", "y.npy"))
    assert_same_bits(ready(way, one)(x), expected)
    if mode == "r":
        assert "read-only" in outcome(ready(way, one), x, out)[1]
    else:
        assert ready(way, one)(x, out) is out
        assert_same_bits(np.array(out), expected)


@each_way
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("argument", ["x", "weight"])
def test_an_output_over_an_input(dtype, way, name, argument):
    """Wherever it begins, from before the input to after it."""
    one = layer(LAYERS[name], dtype)
    y = way(one)(one.x)
    values = getattr(one, argument)
    size, item = values.size + 2 * y.size, values.itemsize
    for begin in {0, y.size - 1, y.size, y.size + 1, y.size + values.size - 1}:
        memory = np.zeros(size, dtype)
        inside = memory[y.size : y.size + values.size].reshape(values.shape)
        inside[...] = values
        out = memory[begin : begin + y.size].reshape(y.shape)
        one_inside = one._replace(**{argument: inside})
        call = ready(way, one_inside)
        assert call(one_inside.x, out) is out
        assert_same_bits(out, y, f"{begin * item} bytes")
