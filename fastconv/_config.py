"""Which variant of the kernels is in use, and what else a bug report should say."""

import os
import platform
from contextlib import contextmanager

import numpy as np

from fastconv import _core, _threads

__version__ = "0.1.0"

selected_isa = None  # chosen at the first call, so that a bad FASTCONV_ISA is that call's error


def available_isas():
    """Name the instruction sets that this processor runs, best first.

    The environment variable ``FASTCONV_ISA`` forces one of them.

    >>> available_isas()[-1]
    'scalar'
    """
    return tuple(_core.isas())


def isa():
    """The instruction set in use."""
    if selected_isa is None:
        select_isa(os.environ.get("FASTCONV_ISA") or available_isas()[0])
    return selected_isa


def select_isa(name):
    """Use one instruction set from now on."""
    global selected_isa
    if name not in available_isas():
        raise ValueError(
            f"FASTCONV_ISA: got {name!r}, expected one of {', '.join(available_isas())} "
            "(what this processor runs)"
        )
    selected_isa = name


@contextmanager
def use_isa(name):
    """Use one instruction set inside a with block (all threads see it)."""
    before = isa()
    select_isa(name)
    try:
        yield
    finally:
        select_isa(before)


def show_config():
    """Give what is in use, for bug reports and benchmark files, as a dict.

    >>> sorted(show_config())
    ['available_isas', 'fastconv', 'isa', 'machine', 'numpy', 'openmp', 'python', 'threads']
    """
    return {
        "fastconv": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "isa": isa(),
        "available_isas": available_isas(),
        "openmp": _core.openmp_max_threads() > 0,
        "threads": _threads.get_num_threads(),
    }
