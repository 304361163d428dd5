"""Arrays of every form in memory: the same bits as contiguous ones, and no byte touched outside."""

import mmap
import signal
import sys

import numpy as np
import pytest
from helpers import LANES, assert_same_bits, guarded, poisoned, run_python
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from operations import CALLS, OPERATIONS

from fastconv import _arrays, avg_pool2d, conv2d, filters, max_pool2d


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def strided(array):
    """Every second element of every axis, with poison between them."""
    base = poisoned([2 * n for n in array.shape], array.dtype)
    view = base[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def misaligned(array):
    view = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


class Subclass(np.ndarray):
    pass


@st.composite
def views(draw, sizes):
    """A slice for each axis that takes a given number of elements, by any step from -3 to 3."""
    slices = []
    for n in sizes:
        step, start = draw(st.integers(1, 3)), draw(st.integers(0, 5))
        forwards = slice(start, start + (n - 1) * step + 1, step)
        backwards = slice(start + (n - 1) * step, start - 1 if start else None, -step)
        slices.append(draw(st.sampled_from([forwards, backwards])))
    return tuple(slices)


# What makes a copy of an array in each form of memory.
FORMS = {
    "read-only": read_only,
    "strided": strided,
    "reversed": lambda array: np.flip(np.flip(array).copy()),
    "Fortran": lambda array: np.array(array, order="F"),
    "byte-swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "misaligned": misaligned,
    "subclass": lambda array: array.copy().view(Subclass),
}


def output_of(result):
    """The array that `out` would have received."""
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize(("name", "dtype"), CALLS)
def test_inputs_of_every_form(name, dtype):
    operation = OPERATIONS[name]
    arrays = operation.arrays(dtype, 9)
    expected = operation(arrays)
    for key, array in arrays.items():
        for form, make in FORMS.items():
            result = operation({**arrays, key: make(array)})
            assert type(output_of(result)) is np.ndarray
            assert_same_bits(result, expected, f"{form} {key}")


@pytest.mark.parametrize(("name", "dtype"), CALLS)
def test_broadcast_inputs(name, dtype):
    operation = OPERATIONS[name]
    arrays = operation.arrays(dtype, 9)
    for key, array in arrays.items():
        broadcast = {**arrays, key: np.broadcast_to(array[:1], array.shape)}
        contiguous = {**arrays, key: broadcast[key].copy()}
        assert_same_bits(operation(broadcast), operation(contiguous), key)


@pytest.mark.parametrize(("name", "dtype"), CALLS)
def test_outputs_of_every_form(name, dtype):
    operation = OPERATIONS[name]
    arrays = operation.arrays(dtype, 9)
    expected = operation(arrays)
    y = output_of(expected)
    for form, make in FORMS.items():
        if form == "read-only":
            continue
        out = make(poisoned(y.shape, y.dtype))
        result = operation(arrays, out=out)
        assert output_of(result) is out
        assert_same_bits(out.astype(y.dtype), y, form)
        if form == "strided":  # nothing between its elements was written
            untouched = out.base.copy()
            untouched[(slice(1, None, 2),) * y.ndim] = poisoned(y.shape, y.dtype)
            assert_same_bits(untouched, poisoned(untouched.shape, y.dtype))


@given(st.data(), st.tuples(st.integers(1, 3), st.integers(1, 6)))
def test_several_outputs_in_one_array(data, size):
    """Those that lie between each other's elements are distinct, those that meet in one are not."""
    image = np.arange(size[0] * size[1], dtype=np.float32).reshape(size)
    base, places = np.zeros((24, 66), np.float32), np.arange(24 * 66).reshape(24, 66)
    first, second = data.draw(views(size), "first"), data.draw(views(size), "second")
    out = base[first], base[second]
    if set(places[first].flat) & set(places[second].flat):
        with pytest.raises(ValueError, match="out has arrays that share memory, expected distinct"):
            filters.gradient(image, outputs=("dx", "dy"), out=out)
        assert not base.any()
    else:
        filters.gradient(image, outputs=("dx", "dy"), out=out)
        expected = filters.gradient(image, outputs=("dx", "dy"))
        assert_same_bits(np.stack(out), np.stack(expected))


def test_outputs_too_entangled_to_tell():
    """Distinct or not, they are refused: to know takes a time that is exponential in their axes."""
    memory = np.empty(192163377, np.int8)  # this pair is one of NumPy's own tests
    a = as_strided(memory, (1049, 1049, 1049), (36674, 61119, 85569))
    b = as_strided(memory[64023025:], (1049, 1049, 1), (12223, 12224, 1))
    with pytest.raises(ValueError, match="f: out has arrays that share memory"):
        _arrays.check_apart("f", (a, None, b))
    _arrays.check_apart("f", (a[:1, :1], None, b[1:2]))


def test_memory_maps(tmp_path):
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 9))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.memmap(tmp_path / "y", np.float64, "w+", shape=(2, 3, 4, 4))
    assert max_pool2d(mapped, 2, out=out) is out
    out.flush()
    expected = max_pool2d(x, 2)
    assert_same_bits(np.fromfile(tmp_path / "y").reshape(expected.shape), expected)


def test_lists():
    x, weight = [[[[1.0, 2.0], [3.0, 4.0]]]], [[[[1.0, -1.0]]]]
    assert conv2d(x, weight).tolist() == [[[[-1], [-1]]]]
    assert max_pool2d(x, 2).tolist() == avg_pool2d([[[[4.0]]]], 1).tolist() == [[[[4]]]]
    assert filters.filter2d([[1.0, 2.0]], [[3]]).tolist() == [[3, 6]]


@pytest.mark.parametrize(("name", "dtype"), CALLS)
def test_output_over_an_input(name, dtype):
    """Wherever the output begins in the memory of an input, the result is as without overlap."""
    operation = OPERATIONS[name]
    arrays = operation.arrays(dtype, 9)
    expected = operation(arrays)
    y = output_of(expected)
    for key, array in arrays.items():
        for begin in (0, y.itemsize, array.nbytes // 2 // 64 * 64):
            memory = np.empty(begin + array.nbytes + y.nbytes, np.uint8)
            memory[: array.nbytes] = array.reshape(-1).view(np.uint8)
            inside = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
            out = memory[begin : begin + y.nbytes].view(y.dtype).reshape(y.shape)
            result = operation({**arrays, key: inside}, out=out)
            assert output_of(result) is out
            assert_same_bits(result, expected, f"out begins {begin} bytes into {key}")


@given(st.data(), st.tuples(st.integers(1, 6), st.integers(1, 20)))
def test_output_anywhere_in_the_memory_of_the_input(data, size):
    """Two views of one array, each with strides of its own."""
    base = np.random.default_rng(size).standard_normal((24, 66))
    x, out = data.draw(views(size), "x"), data.draw(views(size), "out")
    kernel = np.arange(6.0).reshape(2, 3)
    for call in (
        lambda x, out=None: filters.filter2d(x, kernel, out=out),
        lambda x, out=None: conv2d(
            x[None, None], kernel[None, None], padding="same",
            out=None if out is None else out[None, None],
        )[0, 0],
        lambda x, out=None: max_pool2d(
            x[None, :, :, None], (2, 3), 1, ((1, 0), (0, 2)), layout="NHWC",
            out=None if out is None else out[None, :, :, None],
        )[0, ..., 0],
    ):  # fmt: skip
        memory, expected = base.copy(), base.copy()
        expected[out] = call(base[x].copy())
        call(memory[x], memory[out])
        assert_same_bits(memory, expected)


needs_guards = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")


@needs_guards
@pytest.mark.parametrize("code", [
    "guarded(np.ones(3), 'end').ctypes.data + 24", "guarded(np.ones(3), 'start').ctypes.data - 1",
])
def test_the_guards_bite(code):
    script = f"import ctypes, numpy as np\nfrom helpers import guarded\nctypes.string_at({code}, 1)"
    run_python(script, status=-signal.SIGSEGV)


def sweep_guarded():
    """Every call on guarded arrays of every width; the last line printed tells which one faults."""
    for name, dtype in CALLS:
        operation = OPERATIONS[name]
        lanes = LANES.get(dtype, LANES["float32"])
        widths = list(range(1, 2 * lanes + 2))
        if "image" in operation.arrays(dtype, 1):  # whose wide lines are read where they are
            widths += [tiles * lanes + spare for tiles in (5, 8, 9) for spare in (-1, 0, 1, 7)]
        for width in widths if "winograd" not in name else [1, 2, 3, 4]:
            arrays = operation.arrays(dtype, width)
            expected = operation(arrays)
            y = output_of(expected)
            for place in ("start", "end"):
                print(name, dtype, width, place, flush=True)
                inside = {key: guarded(array, place) for key, array in arrays.items()}
                out = guarded(
                    poisoned(y.shape, y.dtype), place, mmap.PROT_READ | mmap.PROT_WRITE
                )
                assert_same_bits(operation(inside, out=out, threads=1), expected)


@needs_guards
def test_nothing_is_touched_outside_the_arrays(isa):
    printed = run_python(
        "import test_arrays; test_arrays.sweep_guarded()", timeout=600, FASTCONV_ISA=isa
    )
    assert printed.splitlines()[-1].startswith(CALLS[-1][0])
