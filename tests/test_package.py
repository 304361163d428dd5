"""What is installed: its names, its documentation, its one extension module, its size."""

import doctest
import importlib
import inspect
import pkgutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python

import fastconv
from fastconv import _core, filters, kernels, reference

ROOT = Path(__file__).parents[1]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(fastconv.__path__, "fastconv.")
    if module.name not in ("fastconv.__main__", "fastconv._core")
]
POOLINGS = [name for name in fastconv.__all__ if "pool" in name]
# Public functions by their full names; the operations among them have every section.
FUNCTIONS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (fastconv, filters, kernels, reference)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
}
OPERATIONS = [
    *(
        f"fastconv.{name}"
        for d in (1, 2, 3)
        for name in (
            f"conv{d}d", f"plan_conv{d}d", f"conv{d}d_backward", f"conv_transpose{d}d",
            f"conv_transpose{d}d_backward",
        )
    ),
    "fastconv.explain_plan", "fastconv.fold", "fastconv.unfold",
    "fastconv.conv_integer", "fastconv.conv_quantized", "fastconv.plan_conv_quantized",
    *(f"fastconv.{name}" for name in POOLINGS),
    *(f"fastconv.filters.{name}" for name in filters.__all__),
]  # fmt: skip


@pytest.mark.parametrize("module", [fastconv, filters, kernels, reference])
def test_public_names(module):
    """__all__ is what a star import gives, and nothing public is left out but what was imported."""
    assert len(set(module.__all__)) == len(module.__all__)
    own = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    }
    assert own <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_public_names_of_the_package():
    promised = {
        *(name.removeprefix("fastconv.") for name in OPERATIONS if "conv" in name.split(".")[-1]),
        "CausalConv1d", "fold", "unfold", "explain_plan", *POOLINGS,
        "filters", "kernels", "reference",
        "set_num_threads", "get_num_threads", "available_isas", "show_config", "__version__",
    }  # fmt: skip
    assert set(fastconv.__all__) == promised
    submodules = {name.split(".")[1] for name in MODULES} | {"__main__", "_core"}
    public = {name for name in vars(fastconv) if name[0] != "_"} - submodules
    assert public == {name for name in promised if name[0] != "_"} - submodules


def test_the_reference_takes_the_same_arguments():
    for name in OPERATIONS:
        if "plan" not in name:
            defined = inspect.signature(getattr(reference, name.split(".")[-1])).parameters
            for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
                if parameter.name in defined:
                    assert parameter.default == defined[parameter.name].default
                else:
                    ours = ("out", "threads", "algorithm", "output_mask")
                    assert parameter.name in ours or "options" in defined


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented(name):
    doc = inspect.getdoc(FUNCTIONS[name])
    assert doc.isascii()
    assert doc.splitlines()[0].endswith(".")
    assert ">>> " in doc


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_documented_in_full(name):
    doc = inspect.getdoc(FUNCTIONS[name])
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in doc
    described = doc.split("\nReturns\n")[0]
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert parameter in described


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name == "fastconv.plot":
        pytest.importorskip("matplotlib")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("text", ["README.md", "docs/learn.md"])
def test_texts(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write files
    with np.printoptions():  # what a text sets ends with it
        assert doctest.testfile(str(ROOT / text), module_relative=False).failed == 0


def test_the_extension_is_for_every_python():
    """Limited API, so that one wheel serves all; and no NumPy C API, so that all NumPys do."""
    path = Path(_core.__file__)
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert path.name in ("_core.abi3.so", "_core.pyd")
    run_python(f"""
        import importlib.util, sys
        sys.modules["numpy"] = None  # to import it is an error
        spec = importlib.util.spec_from_file_location("fastconv._core", {str(path)!r})
        core = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(core)
        assert core.isas()["scalar"] == 1
    """)


def test_importing_needs_numpy_alone():
    """The rest is imported where it is used, and says what to install where it is not there."""
    others = ("scipy", "PIL", "tifffile", "skimage", "torch", "cv2", "dask", "matplotlib")
    run_python(f"""
        import sys
        sys.modules.update(dict.fromkeys({others}))
        import fastconv
        assert not {{"multiprocessing", "asyncio", "unittest"}} & set(sys.modules)
    """)


def test_size():
    """At most 2 MB unpacked, without the bytecode that Python adds and the source of the module."""
    package = Path(fastconv.__path__[0])
    left_out = ".pyc", ".pyx"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix not in left_out]
    assert Path(_core.__file__) in files
    assert sum(path.stat().st_size for path in files) < 2 * 2**20
