"""Fixtures: every test that takes `isa` runs once on each instruction set of this processor.

Where FASTCONV_ISA forces one, only that one: a run per ISA then covers them all, from import on.
"""

import os
import signal
from typing import NamedTuple

# Of more threads than there are cores, one that spins while it waits takes the core of another.
os.environ["OMP_WAIT_POLICY"] = "passive"

import pytest
from helpers import change_plans, clear_plans
from hypothesis import HealthCheck, settings

import fastconv
from fastconv import _config, _core

FORCED = os.environ.get("FASTCONV_ISA")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background: what tests send is heard
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "fastconv",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    # The fixtures only choose how to compute: one choice serves all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("fastconv")


@pytest.fixture(params=[FORCED] if FORCED else fastconv.available_isas())
def isa(request):
    with _config.use_isa(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=["NCHW", "NHWC"])
def layout(request):
    return request.param


@pytest.fixture(params=[1, 2, 3], ids="{}threads".format)
def threads(request):
    return request.param


@pytest.fixture(params=[600, 20_000], ids="{}B-blocks".format)
def small_blocks(request, monkeypatch):
    """Blocks so small that small images are computed in many of them."""
    sizes = (
        "BLOCK_BYTES", "NEAR_BYTES", "WEIGHT_BYTES", "COPY_BYTES", "SUMS_BYTES", "PLANE_BYTES",
        "LINE_BYTES", "RANK_BYTES", "WINOGRAD_BLOCK_BYTES", "GRADIENT_LINE_BYTES",
        "GRADIENT_SUM_BYTES", "FRAME_BYTES", "INTEGER_BYTES",
    )  # fmt: skip
    change_plans(monkeypatch, **dict.fromkeys(sizes, request.param))
    change_plans(monkeypatch, WINOGRAD_LEAST_TILES=3, WINOGRAD_BLOCK_COLUMNS=3)
    yield request.param
    clear_plans()


class Planned(NamedTuple):
    algorithm: str
    sizes: dict
    scratch_bytes: int


@pytest.fixture
def tasks(monkeypatch):
    """Every task that is planned during the test; none was cached before."""
    planned = []

    def recorded(make):
        def plan(isa, bits, algorithm, sizes, *signs):
            task = make(isa, bits, algorithm, sizes, *signs)
            planned.append(Planned(algorithm, sizes, task.scratch_bytes))
            return task

        return plan

    clear_plans()
    for name in ("Conv2d", "Filter2d", "Pool"):
        monkeypatch.setattr(_core, name, recorded(getattr(_core, name)))
    yield planned
    clear_plans()
