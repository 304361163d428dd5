"""Folders of images through filters: plan every output, then decode, filter and encode in parallel.

`plan` finds the images and names their outputs, and refuses before any work what would lose a
file: two inputs for one output, an output over an input or over an existing file. `run` works the
plan off with a pool of threads (Pillow and fastconv release the GIL) that holds one image per
thread, and reports each file as it ends; one broken file does not stop the others. Each output is
written under a temporary name and renamed, so a file that exists is complete, and an interrupted
run goes on with `existing="skip"`.

>>> from fastconv import batch
>>> recipes = batch.parse_recipes("sharpen")
>>> for result in batch.run(batch.plan(["photos"], "sharp", recipes)):  # doctest: +SKIP
...     print(result.source, result.error or "done")
"""

import glob
import math
import os
import threading
import time
import unicodedata
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fastconv import _files, images
from fastconv._recipe import RESPONSES, FilterRecipe, Recipe, parse_recipes
from fastconv._threads import get_num_threads

__all__ = [
    "RESPONSES", "FilterRecipe", "Plan", "PlanError", "Recipe", "Result", "Task", "find",
    "is_running", "parse_recipes", "plan", "prepare", "run",
]  # fmt: skip

_WORKERS = "fastconv-batch"  # what the names of their threads begin with


class PlanError(ValueError):
    """A run that must not start; the message says why and what to do."""


@dataclass(frozen=True)
class Task:
    """One image and what is made of it: pairs of recipe and output path."""

    source: Path
    outputs: tuple[tuple[Recipe | FilterRecipe, Path], ...]


class Plan(list):
    """Tasks; how many files and folders were passed over because they are hidden, and how many
    images because all that is made of them exists."""

    hidden = existing = 0


@dataclass(frozen=True)
class Result:
    """How one image ended: `error` is None, or one line."""

    source: Path
    error: str | None = None


def plan(inputs, outdir, recipes, *, recursive=False, suffix=None, existing="refuse"):
    """Give the Plan that filters `inputs` into `outdir`; raise PlanError rather than lose a file.

    Parameters
    ----------
    inputs : iterable of str or path
        Files, folders (their images; with `recursive` those of all subfolders too) and glob
        patterns. Folders and patterns skip hidden files and whatever is not called an image; the
        hidden images and, with `recursive`, hidden folders in folders are counted.
    outdir : str or path
        Outputs keep their place relative to the folder, or to the part of the pattern that has
        no wildcard; files go right into `outdir`. With several recipes each has its own folder
        there, called by its label.
    suffix : str, optional
        Replaces the suffix of every output, and so chooses its format: ".png".
    existing : {"refuse", "overwrite", "skip"}
        What to do about outputs that exist.
    """
    outdir = Path(outdir)
    if outdir.exists() and not outdir.is_dir():
        raise PlanError(f"{outdir} is a file; -o names a folder")
    folders = [outdir / recipe.label for recipe in recipes] if len(recipes) > 1 else [outdir]
    tasks, makers = Plan(), {}
    for source, relative in _find_all(inputs, recursive, outdir, tasks):
        name = relative if suffix is None else _with_suffix(relative, suffix)
        paths = [folder / name for folder in folders]
        maker = makers.setdefault(_collision_key(paths[0]), source)
        if maker is source:
            tasks.append(Task(source, tuple(zip(recipes, paths, strict=True))))
        elif not os.path.samefile(maker, source):
            raise PlanError(
                f"{maker} and {source} would both become {paths[0]} (upper and lower case, "
                "and Unicode forms, count as equal); filter them into different folders"
            )
    if not tasks:
        hidden = f", {tasks.hidden} hidden passed over" if tasks.hidden else ""
        raise PlanError(f"no images found in {', '.join(map(str, inputs))}{hidden}"
                        + ("" if recursive else " (-r looks into subfolders)")
                        + "; PNG, JPEG, TIFF, WebP and BMP are read")
    _refuse_overwriting_inputs(tasks)
    return _settle_existing(tasks, existing)


def prepare(tasks, outdir):
    """Make the folder `outdir`, and remove from the tasks' what a killed run left there.

    Raises PlanError if nothing can be written into `outdir`.
    """
    try:
        Path(outdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlanError(f"cannot make the folder {outdir}: {images.reason(error)}") from error
    if not os.access(outdir, os.W_OK | os.X_OK):
        raise PlanError(f"cannot write into the folder {outdir}: permission denied")
    for folder in {path.parent for task in tasks for _, path in task.outputs}:
        _files.remove_stale(folder)


def run(tasks, *, jobs=None, threads=None, quality=95, stop=None, patience=None):
    """Yield a Result for each task as it ends.

    `jobs` images are worked on at once (as many as cores), each filter with `threads` threads
    (the cores that are left over). Setting `stop`, a threading.Event, ends the run early: images
    being worked on are finished, nothing half-done stays behind. Closing the generator does the
    same. With `patience`, so many seconds after `stop` the rest is not waited for; `is_running`
    then says whether a thread still works on it.
    """
    cores = get_num_threads()
    jobs = max(1, min(jobs or cores, len(tasks)))
    threads = threads or max(1, cores // jobs)
    stop = stop or threading.Event()
    todo = iter(tasks)
    pool = ThreadPoolExecutor(jobs, _WORKERS)
    deadline, waits = math.inf, True

    def submit(count):
        return {pool.submit(_work, task, threads, quality, stop) for task in islice(todo, count)}

    try:
        pending = submit(2 * jobs)
        while pending:
            # The time-out lets Windows deliver Ctrl-C.
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            if not stop.is_set():
                pending |= submit(len(done))
            elif patience is not None:
                deadline = min(deadline, time.monotonic() + patience)
            yield from filter(None, (each.result() for each in done))
            if time.monotonic() >= deadline:
                waits = False
                break
    finally:
        stop.set()
        pool.shutdown(waits)


def is_running():
    """Does a thread of a `run` that was not waited for still work?"""
    return any(thread.name.startswith(_WORKERS) for thread in threading.enumerate())


def _work(task, threads, quality, stop):
    """Make every output of one image; give its Result, or None if stopped before the end."""
    step = ""
    try:
        if stop.is_set():
            return None
        picture = images.read(task.source)
        for recipe, path in task.outputs:
            if stop.is_set():
                return None
            step = f"cannot write {path}: "
            result = recipe.apply(picture, threads)
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(result, path, quality)
    except Exception as error:  # whatever a decoder raises is about this file alone
        return Result(task.source, step + images.reason(error))
    return Result(task.source)


def _with_suffix(path, suffix):
    if path.suffix.lower() in images.SUFFIXES:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)  # "scan.2026-11-22" has no suffix to replace


def find(given):
    """The images of a file, a folder or a pattern, in sorted order; a PlanError if there are none.
    """
    # No outputs are among them to pass over.
    paths = [source for source, _ in _find_all([given], False, Path(given), Plan())]
    if not paths:
        raise PlanError(f"no images found in {given}")
    return paths


def _find_all(inputs, recursive, outdir, tasks):
    """Yield (source, path relative to its input) of every image, each input in sorted order.

    What is hidden is counted in `tasks`.
    """
    for given in inputs:
        given = given or "''"  # which is not this folder
        path = Path(given)
        if path.is_dir():
            yield from _walk(path, recursive, outdir, tasks)
        elif path.is_file():
            yield path, Path(path.name)
        elif glob.has_magic(str(given)):
            yield from _expand(str(given), outdir)
        elif path.exists():
            raise PlanError(f"{given} is neither a file nor a folder")
        else:
            raise PlanError(f"no such file or folder: {given}")


def _walk(root, recursive, outdir, tasks):
    def complain(error):
        raise PlanError(f"cannot list {error.filename}: {error.strerror}")

    for folder, subfolders, names in os.walk(root, onerror=complain):
        subfolders[:] = sorted(
            name for name in subfolders if recursive and not _is_same(Path(folder, name), outdir)
        )
        seen = [name for name in subfolders if not name.startswith(".")]
        tasks.hidden += len(subfolders) - len(seen)
        subfolders[:] = seen
        for name in sorted(names):
            path = Path(folder, name)
            if not _looks_like_image(path):
                continue
            if name.startswith("."):
                tasks.hidden += 1
            else:
                yield path, path.relative_to(root)


def _expand(pattern, outdir):
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    old = outdir.resolve() if root.resolve() in outdir.resolve().parents else None
    found = [path for path in map(Path, sorted(glob.glob(pattern, recursive=True)))
             if _looks_like_image(path) and not path.name.startswith(".")
             and old not in path.resolve().parents]
    if not found:
        raise PlanError(f"no images match {pattern}")
    for path in found:
        yield path, path.relative_to(root)


def _looks_like_image(path):
    return path.suffix.lower() in images.SUFFIXES and path.is_file()


def _is_same(path, other):
    return other.exists() and os.path.samefile(path, other)


def _collision_key(path):
    # As the least discerning file systems compare names: macOS by normal form, Windows by case.
    return unicodedata.normalize("NFC", os.path.abspath(path)).casefold()


def _refuse_overwriting_inputs(tasks):
    sources = {_identity(task.source) for task in tasks}
    for task in tasks:
        for _, path in task.outputs:
            if path.exists() and _identity(path) in sources:
                raise PlanError(f"{path} is an input and would be overwritten; choose another -o")


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _settle_existing(tasks, existing):
    """Give the tasks without the outputs to skip, or refuse the outputs that exist."""
    if existing == "overwrite":
        return tasks
    left, present = Plan(), []
    left.hidden = tasks.hidden
    left.existing = len(tasks)
    for task in tasks:
        missing = []
        for recipe, path in task.outputs:
            if os.path.lexists(path):
                present.append(path)
            else:
                missing.append((recipe, path))
        if missing:
            left.append(Task(task.source, tuple(missing)))
    if present and existing == "refuse":
        more = f" and {len(present) - 1} more exist" if present[1:] else " exists"
        raise PlanError(
            f"{present[0]}{more} already; --overwrite replaces, --skip-existing keeps them"
        )
    left.existing -= len(left)
    return left
