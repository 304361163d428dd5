"""How many threads, from where, and that calls survive forks and each other."""

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import assert_same_bits, run_python
from operations import CALLS, OPERATIONS

import fastconv
from fastconv import conv2d, plan_conv2d

OPENMP = fastconv.show_config()["openmp"]
needs_openmp = pytest.mark.skipif(not OPENMP, reason="built without OpenMP")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PRINT_THREADS = "import fastconv; print(fastconv.get_num_threads())"


def layer():
    """A call that two threads share, and its arguments."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((4, 8, 40, 40)), rng.standard_normal((9, 8, 3, 3))


def convolve(_=None):
    return conv2d(*layer(), threads=2)


@pytest.fixture
def default_threads():
    yield
    fastconv.set_num_threads(None)


def test_set_and_get(default_threads):
    before = fastconv.get_num_threads()
    assert before >= 1
    fastconv.set_num_threads(7)
    assert fastconv.get_num_threads() == fastconv.show_config()["threads"] == 7
    fastconv.set_num_threads(np.int64(2))
    assert fastconv.get_num_threads() == 2
    fastconv.set_num_threads(None)
    assert fastconv.get_num_threads() == before


@pytest.mark.parametrize(("n", "error"), [
    (0, ValueError), (-2, ValueError), (1.5, TypeError), ("2", TypeError), (2**40, ValueError),
])
def test_set_refuses(default_threads, n, error):
    with pytest.raises(error, match=r"^set_num_threads: n is .*, expected [^\n]*$"):
        fastconv.set_num_threads(n)


@pytest.mark.parametrize(("environment", "expected"), [
    ({"FASTCONV_NUM_THREADS": "3"}, 3),
    ({"FASTCONV_NUM_THREADS": " 3 ", "OMP_NUM_THREADS": "5"}, 3),
    pytest.param({"OMP_NUM_THREADS": "5"}, 5, marks=needs_openmp),
    pytest.param({"FASTCONV_NUM_THREADS": "", "OMP_NUM_THREADS": "5,2"}, 5, marks=needs_openmp),
])
def test_environment(environment, expected):
    assert run_python(PRINT_THREADS, **environment) == str(expected)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_environment_that_is_no_number(value):
    script = """
        import fastconv
        try:
            fastconv.get_num_threads()
        except ValueError as error:
            print(error)
    """
    printed = run_python(script, FASTCONV_NUM_THREADS=value)
    assert printed.startswith(f"FASTCONV_NUM_THREADS: got {value!r}, expected ")
    assert "\n" not in printed


@needs_linux
def test_no_more_than_affinity_allows():
    script = """
        import os
        import fastconv
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(fastconv.get_num_threads())
    """
    assert run_python(script) == "1"


@needs_openmp
@needs_linux
def test_no_more_than_the_openmp_runtime_was_told():
    """threadpoolctl does the same."""
    script = """
        import ctypes, fastconv
        ctypes.CDLL(fastconv._core.__file__).omp_set_num_threads(1)
        print(fastconv.get_num_threads())
    """
    assert run_python(script) == "1"


@needs_openmp
@needs_linux
@pytest.mark.parametrize(("setting", "argument", "expected"), [
    ("", "3", 3),
    ("fastconv.set_num_threads(3)", "None", 3),
    ("fastconv.set_num_threads(3)", "1", 1),
])
def test_as_many_threads_as_asked_for(setting, argument, expected):
    script = f"""
        import os
        import fastconv, test_threads
        x, weight = test_threads.layer()
        fastconv._plan.shared.SHARED_SECONDS = 0  # any work is worth sharing
        {setting}
        before = len(os.listdir("/proc/self/task"))
        fastconv.conv2d(x, weight, threads={argument})
        print(1 + len(os.listdir("/proc/self/task")) - before)
    """
    assert run_python(script) == str(expected)


@needs_fork
def test_a_child_computes_as_its_parent_did():
    """And its own child; and the parent goes on."""
    run_python("""
        import os
        from helpers import assert_same_bits
        from test_threads import convolve

        def compute_in_child(generations):
            child = os.fork()
            if child == 0:
                try:
                    assert_same_bits(convolve(), expected)
                    if generations > 1:
                        compute_in_child(generations - 1)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            assert_same_bits(convolve(), expected)

        expected = convolve()
        for _ in range(5):
            compute_in_child(2)
    """)


@needs_fork
def test_a_fork_while_other_threads_compute():
    run_python("""
        import os, threading, warnings
        from helpers import assert_same_bits
        from test_threads import convolve

        warnings.simplefilter("ignore")  # from 3.12 on, that such a fork may hang
        expected = convolve()
        stop = threading.Event()

        def compute():
            while not stop.is_set():
                convolve()

        others = [threading.Thread(target=compute) for _ in range(2)]
        for other in others:
            other.start()
        try:
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    try:
                        assert_same_bits(convolve(), expected)
                        os._exit(0)
                    finally:
                        os._exit(1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            for other in others:
                other.join()
    """)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pools_of_processes(method):
    run_python(f"""
        import multiprocessing
        from helpers import assert_same_bits
        from test_threads import convolve

        expected = convolve()
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            for y in pool.map_async(convolve, range(4)).get(30):
                assert_same_bits(y, expected)
        assert_same_bits(convolve(), expected)
    """)


def test_many_threads_at_once():
    expected = {call: _compute(*call) for call in CALLS}

    def check(call):
        assert_same_bits(_compute(*call, threads=2), expected[call], str(call))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(check, call) for _ in range(3) for call in CALLS]:
            future.result(60)


def _compute(name, dtype, **more):
    return OPERATIONS[name](OPERATIONS[name].arrays(dtype, 21), **more)


def test_one_plan_in_many_threads():
    x, weight = layer()
    plan, expected = plan_conv2d(weight), conv2d(x, weight)
    with ThreadPoolExecutor(8) as pool:
        for y in pool.map(lambda _: plan(x), range(40), timeout=60):
            assert_same_bits(y, expected)


def test_other_threads_run_during_a_call():
    """The GIL is released: this thread is never held up for as long as the other one computes."""
    x, weight = np.ones((1, 64, 80, 80), np.float32), np.ones((64, 64, 5, 5), np.float32)

    def longest_wait_and_call():
        times = []

        def compute():
            times.append(time.perf_counter())
            conv2d(x, weight, threads=1)
            times.append(time.perf_counter())

        call = threading.Thread(target=compute)
        longest, last = 0, time.perf_counter()
        call.start()
        while call.is_alive():
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        return longest, times[1] - times[0]

    # Other programs may hold this thread up too, but not each time.
    assert any(wait < call / 2 for wait, call in (longest_wait_and_call() for _ in range(20)))
