"""fastconv alone, for pytest-benchmark: `pytest bench` (one thread, result array given)."""

import pytest

from .answers import judge, make_answer, make_arrays
from .cases import CASES
from .peers.fastconv import prepare


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_row(benchmark, case):
    arrays = make_arrays(case)
    call = prepare(case, arrays, threads=1)["fastconv"]
    verdict = judge(case, call(), *make_answer(case, arrays))
    assert verdict["ok"], verdict["reason"]
    benchmark.group = case.group
    benchmark.extra_info |= {"work": case.work, "unit": case.unit}
    benchmark(call)
