"""Training: one step, and epochs of them with validation, checkpoints and a line of progress."""

import signal
import sys
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from fastconv import _arrays, _geometry
from fastconv._progress import Line, clock
from fastconv.nn import losses, serialization
from fastconv.nn.layers import Dropout
from fastconv.nn.optimizers import SGD, Adam, AdamW, Optimizer
from fastconv.nn.schedules import CosineAnnealingLR, OneCycleLR

OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
SCHEDULES = {
    "cosine": lambda lr, steps: CosineAnnealingLR(lr, steps),
    "one_cycle": lambda lr, steps: OneCycleLR(lr, steps),
}
SCHEDULED = ("lr", "momentum", "betas")  # what a schedule changes, and `fit` puts back


@dataclass
class History:
    """What `fit` saw: a number for each epoch, and `steps` the loss of each batch.

    `stopped` says why it ended early: "", "patience", "callback" or "interrupted".
    """

    loss: list = field(default_factory=list)
    accuracy: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    validation_accuracy: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    best_epoch: int = -1
    stopped: str = ""

    @property
    def epochs(self):
        """How many epochs there were."""
        return len(self.loss)


def train_step(model, optimizer, x, y, loss=losses.cross_entropy, threads=None):
    """Change the model a little, so that its loss on a batch becomes smaller; give that loss.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Of the model's parameters.
    x : (N, ...) array of the model's dtype
    y : array
        What `loss` takes: for `cross_entropy` (N,) integers.
    loss : function
        ``loss(results, y)`` gives the mean and its gradient by the results.
    threads : int, optional

    Returns
    -------
    float
        Before the change.

    Raises
    ------
    FloatingPointError
        When the loss or a gradient is not finite; the message says in which layer that began. The
        parameters and statistics are left as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> model = nn.Linear(2, 2).initialize(seed=0)
    >>> optimizer = nn.SGD(model.parameters(), lr=0.1)
    >>> x, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> first = nn.train_step(model, optimizer, x, labels)
    >>> nn.train_step(model, optimizer, x, labels) < first
    True
    """
    return _step(model, optimizer, x, y, loss, threads)[0]


def _step(model, optimizer, x, y, loss, threads):
    if not model.training:
        model.train()
    statistics = [(module, module._statistics) for module in model.modules()]
    try:
        with np.errstate(all="ignore"):  # what is not finite is told below
            result = model.forward(x, threads)
            value, gradient = loss(result, y)
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"train_step: the loss is {value} at step {optimizer.steps}; "
                    f"{_where_results_end(model, x)}"
                )
            model.backward(gradient, threads, input_gradient=False)
            total = np.add.reduce(optimizer.gradients())
        if not np.isfinite(total) and (place := _where_gradients_end(model)):
            raise FloatingPointError(f"train_step: at step {optimizer.steps} {place}")
    except BaseException:
        for module, before in statistics:
            module._statistics = before
        raise
    optimizer.step()
    return value, result


def _where_results_end(model, x):
    """The first place, from the input on, that is not finite, in words."""
    if not np.isfinite(x).all():
        return "x is not finite"
    for module in model.leaves():
        for key, p in module._params.items():
            if not np.isfinite(p.value).all():
                return f"{key} of {module._label()} is not finite"
        if module._y is not None and not np.isfinite(module._y).all():
            return f"the result of {module._label()} is the first that is not finite"
    return "the model's results are finite"


def _where_gradients_end(model):
    """The first gradient, from the loss on, that is not finite, in words; None: all are."""
    for module in reversed(model.leaves()):
        for key, p in module._params.items():
            if not np.isfinite(p.grad).all():
                return f"the gradient by {key} of {module._label()} is the first not finite"
    return None


def evaluate(model, x, y, loss=losses.cross_entropy, batch_size=256, threads=None):
    """Give the loss on all samples, and the share of them whose largest result is at y's label."""
    x, y = _checked_data("evaluate", model, "x", x, y, loss)
    result = model.predict(_floats(x, _dtype(model)), batch_size, threads)
    return loss(result, y)[0], _right(result, y) / len(x)


def fit(
    model,
    x,
    y,
    *,
    epochs=10,
    batch_size=32,
    validation=None,
    optimizer="adam",
    lr=None,
    schedule=None,
    loss=losses.cross_entropy,
    augment=None,
    seed=0,
    callbacks=(),
    patience=None,
    keep_best=None,
    checkpoint=None,
    resume=False,
    progress=True,
    threads=None,
):
    """Train a model on all samples, again and again, in an order that the seed gives.

    Parameters
    ----------
    model : Module
    x : (N, ...) array
        Of the model's dtype, or uint8, which is divided by 255.
    y : array
        What `loss` takes: for `cross_entropy` (N,) integers.
    epochs, batch_size : int
    validation : (x, y), optional
        Evaluated after each epoch.
    optimizer : Optimizer, "sgd", "adam" or "adamw"
    lr : float, optional
        The optimiser's if it is a name.
    schedule : function, "cosine" or "one_cycle", optional
        ``schedule(step)`` is the learning rate of a batch, counted from 0; by name from the
        optimiser's rate, over all of the epochs.
    loss : function
    augment : function, optional
        ``augment(x, seed, threads)`` changes each batch; see `Augment`.
    seed : int
        The same seed gives the same bits, on any number of threads. The model's first weights
        are ``model.initialize(seed)``'s affair.
    callbacks : function, or list of functions
        Called with (model, history) after each epoch; one that gives True ends the training.
    patience : int, optional
        End when so many epochs in a row have not lowered the loss (validation's, if there is one).
    keep_best : bool, optional
        Give the model the weights of its best epoch at the end; by default with `validation`.
    checkpoint : path, optional
        A .safetensors or .npz file, written after each epoch, whole or not at all.
    resume : bool
        Go on from the checkpoint, if there is one, to the same bits as without the break; one of
        other arguments is refused. More epochs are the same training, unless `schedule` is a name.
    progress : bool
        A line for each epoch on standard error, and on a terminal one for each batch.
    threads : int, optional

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, before the model is changed.
    FloatingPointError
        As in `train_step`.

    Notes
    -----
    Ctrl-C ends it after the batch at hand; a second one at once.

    Examples
    --------
    >>> from fastconv import nn
    >>> (x, labels), test = nn.digits()
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).initialize(seed=0)
    >>> history = nn.fit(model, x, labels, epochs=4, validation=test, lr=0.03, progress=False)
    >>> history.validation_accuracy[-1] > 0.9
    True
    """
    x, y = _checked_data("fit", model, "x", x, y, loss)
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(f"fit: validation is {_arrays.shown(validation)}, expected (x, y)")
        validation = _checked_data("fit", model, "validation", *validation, loss)
    epochs, batch_size = (
        _geometry.integer("fit", name, value, 1)
        for name, value in (("epochs", epochs), ("batch_size", batch_size))
    )
    seed = _geometry.integer("fit", "seed", seed, 0)
    if patience is not None:
        _geometry.integer("fit", "patience", patience, 1)
    callbacks = callbacks if isinstance(callbacks, list | tuple) else (callbacks,)
    for name, function in (
        ("loss", loss), ("augment", augment), *(("callbacks", each) for each in callbacks),
        ("schedule", None if isinstance(schedule, str) else schedule),
    ):  # fmt: skip
        if not (callable(function) or (function is None and name in ("augment", "schedule"))):
            raise TypeError(f"fit: {name} is {_arrays.shown(function)}, expected a function")
    optimizer = _optimizer(model, optimizer, lr)
    keep_best = validation is not None if keep_best is None else bool(keep_best)
    batches = -(-len(x) // batch_size)
    said = {"optimizer": _said(optimizer), "schedule": _said(schedule)}
    if isinstance(schedule, str):
        said["schedule"] += f" of {epochs} epochs"
        schedule = _named("schedule", SCHEDULES, schedule)(optimizer.lr, epochs * batches)
    if resume and checkpoint is None:
        raise ValueError("fit: resume needs a checkpoint, got none")
    if checkpoint is not None:
        serialization.check_path("fit", "checkpoint", checkpoint)
        said |= {
            "seed": seed, "batch_size": batch_size, "loss": _said(loss), "augment": _said(augment),
            "data": _print_of(x, y), "validation": validation and _print_of(*validation),
            "keep_best": keep_best,
        }  # fmt: skip
    run = _Run(model, optimizer, loss, seed, keep_best, said)
    before = {key: value for key, value in vars(optimizer).items() if key in SCHEDULED}
    if resume and Path(checkpoint).exists():
        run.restore(checkpoint)
    history = run.history
    history.stopped = ""
    status = _Status(history.epochs, epochs, batches, batch_size) if progress else None
    with _stop_asked() as stop:
        for epoch in range(history.epochs, epochs):
            for step, part in run.epoch(x, y, epoch, batches, batch_size, schedule, augment,
                                        threads):  # fmt: skip
                if status is not None:
                    status.batch(epoch, step, part)
                if stop.is_set():
                    break
            if stop.is_set():
                history.stopped = "interrupted"
                break
            run.finish_epoch(validation, len(x), threads)
            if checkpoint is not None:
                run.save(checkpoint)
            if status is not None:
                status.epoch(history)
            if any([callback(model, history) for callback in callbacks]):
                history.stopped = "callback"
            elif patience is not None and history.epochs - 1 - history.best_epoch >= patience:
                history.stopped = "patience"
            if history.stopped:
                break
    if schedule is not None:
        vars(optimizer).update(before)
    if status is not None:
        status.clear()
    if run.best is not None:
        model.load_state_dict(run.best)
    model.eval()
    return history


class _Run:
    """The state of a training: what a checkpoint holds."""

    def __init__(self, model, optimizer, loss, seed, keeps_best, said):
        self.model, self.optimizer, self.loss, self.seed = model, optimizer, loss, seed
        self.keeps_best, self.best, self.history = keeps_best, None, History()
        self.said = {"model": serialization.described(model)} | said

    def epoch(self, x, y, epoch, batches, batch_size, schedule, augment, threads):
        """Train on every sample once; yields (batch, mean loss and accuracy so far)."""
        # Random numbers follow from the seed and the epoch, so that a checkpoint needs none.
        order = np.random.default_rng([self.seed, epoch]).permutation(len(x))
        for i, module in enumerate(self.model.modules()):
            if isinstance(module, Dropout):
                module.seed([self.seed, epoch, i])
        self.sums = np.zeros(2)
        for step in range(batches):
            part = order[step * batch_size : (step + 1) * batch_size]
            images = x[part]
            if augment is not None:
                images = augment(images, [self.seed, epoch, step], threads)
            images = _floats(images, self.optimizer.gradients().dtype)
            if schedule is not None:
                self.optimizer.lr = schedule(epoch * batches + step)
                if getattr(schedule, "cycle_momentum", False):
                    self.optimizer.set_momentum(schedule.momentum(epoch * batches + step))
            labels = y[part]
            value, result = _step(self.model, self.optimizer, images, labels, self.loss, threads)
            self.history.steps.append(value)
            self.sums += value * len(part), _right(result, labels)
            yield step, self.sums / (step * batch_size + len(part))

    def finish_epoch(self, validation, samples, threads):
        history = self.history
        for series, value in zip(
            (history.loss, history.accuracy), self.sums / samples, strict=True
        ):
            series.append(float(value))
        watched = history.loss
        if validation is not None:
            value, accuracy = evaluate(self.model, *validation, self.loss, threads=threads)
            history.validation_loss.append(value)
            history.validation_accuracy.append(accuracy)
            watched = history.validation_loss
        if history.best_epoch < 0 or watched[-1] < watched[history.best_epoch]:
            history.best_epoch = history.epochs - 1
            if self.keeps_best:
                self.best = self.model.state_dict()

    def save(self, path):
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.best is not None:
            parts["best"] = self.best
        arrays = {f"{part}/{key}": np.asarray(array)
                  for part, state in parts.items() for key, array in state.items()}  # fmt: skip
        text = {"checkpoint": self.said, "history": asdict(self.history), "lr": self.optimizer.lr}
        serialization.write(path, arrays, text)

    def restore(self, path):
        """Go on from a file, if that gives the bits of a training without the break."""
        arrays, text = serialization.read(path)
        said = text.get("checkpoint")
        if not isinstance(said, dict):
            raise ValueError(f"fit: {path} is no checkpoint, expected a file that fit wrote")
        for key, mine in serialization.as_read(self.said).items():  # tuples are lists there
            if said.get(key) != mine:
                raise ValueError(
                    f"fit: {path} has {key} {_arrays.shown(said.get(key))}, expected "
                    f"{_arrays.shown(mine)}: it is a checkpoint of another training"
                )
        try:
            parts = {"model": {}, "optimizer": {}, "best": {}}
            for key, array in arrays.items():
                part, _, name = key.partition("/")
                parts[part][name] = array
            history, lr = History(**text["history"]), float(text["lr"])
            self.model.load_state_dict(parts["model"])
            self.optimizer.load_state_dict(parts["optimizer"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"fit: {path} is damaged: {error}") from None
        self.optimizer.lr, self.best, self.history = lr, parts["best"] or None, history


def _said(argument):
    """What can be compared of an argument: a name, and the numbers of an object."""
    if argument is None or isinstance(argument, str):
        return argument
    numbers = {
        key: value
        for key, value in getattr(argument, "__dict__", {}).items()
        if isinstance(value, int | float | tuple) and key != "steps"
    }
    name = getattr(argument, "__qualname__", type(argument).__name__)
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in numbers.items())})"


def _print_of(x, y):
    """Samples as what a checkpoint compares them by."""
    sums = (f"{zlib.crc32(_arrays.as_bytes(np.ascontiguousarray(each))):08x}" for each in (x, y))
    return f"{x.shape} of {x.dtype}, CRC {' '.join(sums)}"


def _optimizer(model, optimizer, lr):
    if isinstance(optimizer, str):
        kind = _named("optimizer", OPTIMIZERS, optimizer)
        return kind(model.parameters(), **({} if lr is None else {"lr": lr}))
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer is {optimizer!r}, expected one, or its name")
    if lr is not None:
        raise ValueError(f"fit: lr is {lr}, expected None: the optimiser has one")
    return optimizer


def _named(argument, choices, name):
    if name not in choices:
        raise ValueError(f"fit: {argument} is {name!r}, expected one of {', '.join(choices)}")
    return choices[name]


def _dtype(model):
    return next((each.value.dtype for each in model.parameters()), np.dtype(np.float32))


def _checked_data(function, model, name, x, y, loss):
    """The samples as arrays; refuses what does not fit the model."""
    x = _arrays.readable(function, name, x, (_dtype(model).name, "uint8"))
    y = _arrays.as_array(function, "y", y)
    counts = [len(np.atleast_1d(each)) for each in (x, y)]
    if not counts[0] or counts[0] != counts[1]:
        raise ValueError(
            f"{function}: {name} has {counts[0]} samples and y {counts[1]}, expected as many"
        )
    results = model.output_shape((min(2, counts[0]), *x.shape[1:]))
    if loss is losses.cross_entropy:
        losses.checked_labels(function, y, counts[0], results[-1])
    return x, y


def _floats(x, dtype):
    """Images as the model takes them."""
    return x.astype(dtype) / dtype.type(255) if x.dtype == np.uint8 else x


def _right(result, labels):
    """How many samples have their largest result at their label."""
    if result.ndim != 2 or labels.ndim != 1:
        return 0
    return int((result.argmax(1) == labels).sum())


@contextmanager
def _stop_asked():
    """An event that Ctrl-C sets; a second one raises KeyboardInterrupt."""
    event, before = threading.Event(), None

    def ask(_number, _frame):
        event.set()
        signal.signal(signal.SIGINT, before)

    main = threading.current_thread() is threading.main_thread()
    if main:  # others cannot receive signals
        before = signal.signal(signal.SIGINT, ask)
    try:
        yield event
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


class _Status:
    """A line for each epoch, and on a terminal one that goes on, ten times a second at most."""

    def __init__(self, first_epoch, epochs, batches, batch_size):
        self.first, self.epochs = first_epoch, epochs
        self.batches, self.batch_size = batches, batch_size
        self._line, self._start, self._shown = Line(), time.monotonic(), 0.0

    def batch(self, epoch, step, part):
        """After a batch; `part` is the mean loss and accuracy of the epoch so far."""
        now = time.monotonic()
        if not self._line.width or now - self._shown < 0.1:
            return
        self._shown = now
        done = (epoch - self.first) * self.batches + step + 1
        total = (self.epochs - self.first) * self.batches
        seconds = now - self._start
        self._line.write(
            f"epoch {epoch + 1}/{self.epochs}: loss {part[0]:.4f}, accuracy {part[1]:.1%}, "
            f"{done * self.batch_size / seconds:,.0f} images per second, "
            f"{clock(seconds / done * (total - done))} left"
        )

    def epoch(self, history):
        self.clear()
        print(_epoch_line(history, self.epochs), file=sys.stderr)

    def clear(self):
        self._line.clear()


def _epoch_line(history, epochs):
    text = (
        f"epoch {history.epochs}/{epochs}: loss {history.loss[-1]:.4f}, "
        f"accuracy {history.accuracy[-1]:.1%}"
    )
    if history.validation_loss:
        text += (
            f"; validation: loss {history.validation_loss[-1]:.4f}, "
            f"accuracy {history.validation_accuracy[-1]:.1%}"
        )
    return text
