"""Which variant of the kernels is in use."""

from importlib.metadata import version

import numpy as np
import pytest
from helpers import run_python

import fastconv
from fastconv import _config

PRINT_ISA = "import fastconv; print(fastconv.show_config()['isa'])"


def test_best_first():
    names = fastconv.available_isas()
    order = ("avx512", "avx2", "neon", "scalar")
    assert names == tuple(sorted(names, key=order.index))
    assert names[-1] == "scalar"


def test_the_best_is_in_use_unless_one_is_forced():
    assert run_python(PRINT_ISA) == fastconv.available_isas()[0]
    assert run_python(PRINT_ISA, FASTCONV_ISA="") == fastconv.available_isas()[0]


@pytest.mark.parametrize("isa", fastconv.available_isas())
def test_the_forced_one_is_in_use(isa):
    assert run_python(PRINT_ISA, FASTCONV_ISA=isa) == isa


@pytest.mark.parametrize("name", ["avx1024", "AVX2", "neon,scalar"])
def test_an_unknown_one_is_an_error_that_lists_those_there_are(name):
    script = """
        try:
            import fastconv
            fastconv.show_config()
        except ValueError as error:
            print(error)
    """
    names = ", ".join(fastconv.available_isas())
    printed = run_python(script, FASTCONV_ISA=name)
    assert printed.startswith(f"FASTCONV_ISA: got {name!r}, expected one of {names} (")
    assert "\n" not in printed


def test_use_isa():
    before = _config.isa()
    with pytest.raises(ZeroDivisionError), _config.use_isa("scalar"):
        assert fastconv.show_config()["isa"] == "scalar"
        raise ZeroDivisionError
    assert _config.isa() == before
    with pytest.raises(ValueError, match="expected one of"), _config.use_isa("no"):
        pass
    assert _config.isa() == before


def test_each_runs_kernels_of_its_own(tasks):
    """Scratch memory ends in whole vectors: its size tells one variant from another."""
    for isa in fastconv.available_isas():
        with _config.use_isa(isa):
            fastconv.filters.filter2d(np.ones((9, 9), np.float32), np.ones((3, 3)))
    sizes = [task.scratch_bytes for task in tasks]
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) == len(fastconv.available_isas())


def test_what_a_bug_report_says():
    config = fastconv.show_config()
    assert config["fastconv"] == fastconv.__version__ == version("fastconv")
    assert config["numpy"] == np.__version__
    assert config["available_isas"] == fastconv.available_isas()
    assert config["isa"] == _config.isa()
    assert config["threads"] == fastconv.get_num_threads()
    assert isinstance(config["openmp"], bool)
