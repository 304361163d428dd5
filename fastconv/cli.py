"""The command `fastconv`: calls batch.py, demo.py and _train.py, prints; never shows a traceback.

Exit codes: 0 all done, 1 some files failed, 2 nothing was started, 130 interrupted (128 + signal).
"""

import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections import defaultdict
from contextlib import contextmanager, suppress

from fastconv import _files, _signals, _tiff, batch, get_num_threads, images, kernels, show_config
from fastconv._options import build_parsers
from fastconv._progress import Line, clock, visible

__all__ = ["main"]

_MOST_ALIKE = 10  # failed files that are named for one reason
_PATIENCE = 0.5  # seconds that an interrupted run waits for images that are nearly done


def main(arguments=None):
    """Run the command with these arguments (sys.argv's by default) and give its exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):  # a letter that it lacks must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            code = _dispatch(sys.argv[1:] if arguments is None else arguments)
        except SystemExit as stop:  # argparse's
            code = stop.code
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `fastconv kernels | head`: nobody reads on
        _drop_output()
        return 0
    except OSError as error:
        if error.filename is None:
            _drop_output()
            return _fail(f"cannot write the output: {images.reason(error)}")
        return _fail(re.sub(r"^\[Errno \d+\] ", "", str(error)))
    except (FloatingPointError, ImportError, MemoryError, ValueError) as error:
        return _fail(str(error) or images.reason(error))
    except Exception as error:  # a mistake of ours: still one line
        return _fail(f"unexpected {type(error).__name__}: {error}")


def _drop_output():
    """Let what could not be written go, which Python would try again at its end."""
    with suppress(OSError):  # no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments):
    parser, commands = build_parsers()
    name = arguments[0] if arguments else None
    if name not in commands:
        parser.parse_args(arguments)  # ends the program, unless there are no arguments
        parser.print_help()
        return 2
    # The command's own parser, because the whole one takes no files after options.
    options = commands[name].parse_intermixed_args(arguments[1:])
    return _COMMANDS[name](options)


def _fail(message):
    _say(f"fastconv: {message}", sys.stderr)
    return 2


def _say(line, file=None):
    print(visible(line), file=file)


class _Failures(defaultdict):
    """Files that could not be done, by the reason, which are named; of many alike the first."""

    def __init__(self, command, hint=""):
        super().__init__(list)
        self.command, self.hint = command, hint

    def add(self, source, error):
        # Without the path and the numbers of this file.
        alike = self[re.sub(r"\d+", "", error.rpartition(": ")[2])]
        alike.append(source or error)
        if len(alike) <= _MOST_ALIKE:
            place = f"{source}: " if source else ""
            _say(f"fastconv {self.command}: {place}{error}", sys.stderr)

    def count(self):
        return sum(map(len, self.values()))

    def end(self):
        for alike in self.values():
            if alike[_MOST_ALIKE:]:
                _say(f"fastconv {self.command}: {len(alike) - _MOST_ALIKE} more like {alike[0]}"
                     + self.hint, sys.stderr)


def _run_filter(options):
    recipes = batch.parse_recipes(
        options.kernel, options.response, border=options.border,
        scale=options.scale, delta=options.delta,
    )
    tasks = batch.plan(
        options.inputs, options.output, recipes, recursive=options.recursive,
        suffix=options.format and f".{options.format}", existing=options.existing,
    )
    if options.dry_run:
        for task in tasks:
            for _, path in task.outputs:
                _say(f"{task.source} -> {path}")
        return 0
    _prepare_readers(options)
    batch.prepare(tasks, options.output)
    with _stopping_on_signals() as stopped:
        return _filter_all(tasks, options, stopped)


def _filter_all(tasks, options, stopped):
    progress = _Progress(len(tasks))
    failures = _Failures("filter", "; --skip-existing --dry-run lists all that is left")
    results = batch.run(tasks, jobs=options.jobs, threads=options.threads,
                        quality=options.quality, stop=stopped.event, patience=_PATIENCE)
    for result in results:
        if result.error is not None:
            progress.clear()
            failures.add(result.source, result.error)
        progress.advance(failed=result.error is not None)
    progress.clear()
    failures.end()
    existing = f"; done before: {tasks.existing}" if tasks.existing else ""
    hidden = f"; hidden files and folders passed over: {tasks.hidden}" if tasks.hidden else ""
    _say(f"{options.output}: {progress.summary()}{existing}{hidden}")
    if stopped.signal is not None:
        print("fastconv filter: interrupted; the same command with --skip-existing goes on",
              file=sys.stderr)
        _end_if_running(128 + stopped.signal)
        return 128 + stopped.signal
    return 1 if progress.failed else 0


def _end_if_running(code):
    """End the process with its threads, which a filter may keep busy for minutes."""
    if batch.is_running():
        sys.stdout.flush()
        sys.stderr.flush()
        _files.discard_partial()
        os._exit(code)


def _prepare_readers(options):
    # Pillow reads these when it is imported. Memory that is kept for the next image costs nothing
    # to touch again, and an image in one piece is lent to the filter instead of copied.
    os.environ.setdefault("PILLOW_BLOCKS_MAX", str(2 * (options.jobs or get_num_threads())))
    os.environ.setdefault("PILLOW_BLOCK_SIZE", "2047m")
    _quiet_readers()
    from PIL import Image

    if options.max_pixels is not None:
        Image.MAX_IMAGE_PIXELS = options.max_pixels


def _quiet_readers():
    images.require_readers()
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    # Every problem is one line of ours, without warnings and logs of the readers in between.
    warnings.simplefilter("ignore")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
    if _tiff.silence():
        return
    with suppress(OSError):  # no file: a test's
        if sys.stderr.fileno() == 2:  # what libtiff finds goes there, and so all that does
            sys.stderr = open(os.dup(2), "w", 1, errors="backslashreplace")  # noqa: SIM115
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class _Progress:
    """How far a run over images is."""

    def __init__(self, total):
        self.total, self.done, self.failed = total, 0, 0
        self._start = time.monotonic()
        self._shown = 0.0
        self._line = Line()

    def advance(self, failed):
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if self._line.width and now - self._shown >= 0.1:
            self._shown = now
            rate = self.done / (now - self._start)
            left = clock((self.total - self.done) / rate)
            self._line.write(f"{self.done}/{self.total} images, {rate:.1f} per second, "
                             f"{left} left{self._failures()}")

    def clear(self):
        self._line.clear()

    def summary(self):
        seconds, good = time.monotonic() - self._start, self.done - self.failed
        return (f"{good} of {self.total} images in {clock(seconds)} "
                f"({good / seconds:.1f} per second){self._failures()}")

    def _failures(self):
        return f", {self.failed} failed" if self.failed else ""


class _Stopped:
    """Whether a signal asked to stop, and which."""

    def __init__(self):
        self.event = threading.Event()
        self.signal = None


@contextmanager
def _stopping_on_signals():
    """Turn Ctrl-C and termination into a request to stop, so that no file is left half-written."""
    stopped = _Stopped()

    def request(number, _before):
        stopped.signal = number
        stopped.event.set()

    with _signals.handled((signal.SIGINT, signal.SIGTERM), request):
        yield stopped


def _run_kernels(_options):
    rows = [("name", "size", "what it shows [parameters]")]
    for name in kernels.names():
        height, width = kernels.get(name).shape
        parameters = f" [{' '.join(kernels.parameters(name))}]" if kernels.parameters(name) else ""
        rows.append((name, f"{height}x{width}", kernels.describe(name) + parameters))
    _print_table(rows)
    return 0


def _run_demo(options):
    from fastconv import demo

    images.require_readers()
    path, steps = demo.run(options.output, overwrite=options.overwrite)
    rows = [("step", "fastconv", "NumPy", "faster")]
    rows += [
        (step.name, f"{step.fastconv * 1e3:.2f} ms", f"{step.reference * 1e3:.1f} ms",
         f"{step.reference / step.fastconv:.0f}x")
        for step in steps
    ]
    _print_table(rows, right=(1, 2, 3))
    _say(f"contact sheet: {path.resolve()}")
    return 0


def _run_train(options):
    from fastconv import _train

    if options.folder is not None:
        _quiet_readers()
    start, failures = time.monotonic(), _Failures("train")
    history, accuracy, classes, counts = _train.train(
        options.folder, options.output, epochs=options.epochs, batch_size=options.batch_size,
        lr=options.lr, size=options.size, grey=options.grey, seed=options.seed,
        threads=options.threads, overwrite=options.overwrite, resume=options.resume,
        failed=failures.add,
    )
    failures.end()
    if history.stopped == "interrupted":
        instead = " in place of --overwrite" if options.overwrite else ""
        print(f"fastconv train: interrupted; the same command with --resume{instead} goes on",
              file=sys.stderr)
        return 128 + signal.SIGINT
    for name, series in (("training", history.loss), ("test", history.validation_loss)):
        print(f"{name} loss: {series[0]:.3g} {_train.curve(series)} {series[-1]:.3g}")
    print(f"test accuracy: {accuracy:.1%} of {counts.sum()} images, "
          f"after {clock(time.monotonic() - start)}"
          + (f"; images left out: {failures.count()}" if failures else ""))
    cells = [[str(count or ".") for count in row] for row in counts]
    _print_table([["is \\ taken for", *classes],
                  *([name, *row] for name, row in zip(classes, cells, strict=True))],
                 right=range(1, len(classes) + 1))
    written = "model and pictures" if _train.draws() else "model"
    _say(f"{written}: {os.path.abspath(options.output)}")
    if not _train.draws():
        print('fastconv train: no pictures: matplotlib comes with: python -m pip install '
              '"fastconv[plot]"', file=sys.stderr)
    return int(bool(failures))


def _run_predict(options):
    from fastconv import _train

    _quiet_readers()
    predict = _train.predictor(options.model, options.invert, options.threads)
    failures, done = _Failures("predict"), 0
    for given in options.images:
        try:
            paths = batch.find(given)
        except batch.PlanError as error:
            failures.add(None, str(error))
            continue
        for path in paths:
            try:
                best = predict(path)
            except ValueError as error:
                failures.add(path, str(error))
            else:
                done += 1
                _say(f"{path}: " + ", ".join(f"{name} {part:.1%}" for name, part in best[:3]))
    failures.end()
    return 0 if not failures else 1 if done else 2


def _run_info(_options):
    _print_table([
        (key, " ".join(value) if isinstance(value, tuple) else str(value))
        for key, value in show_config().items()
    ])
    return 0


def _print_table(rows, right=()):
    """Print aligned columns, those numbered in `right` flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) if i in right else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        _say("  ".join(cells).rstrip())


_COMMANDS = {
    "filter": _run_filter, "kernels": _run_kernels, "demo": _run_demo, "train": _run_train,
    "predict": _run_predict, "info": _run_info,
}
