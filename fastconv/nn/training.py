"""Training: epochs with validation, checkpoints, Ctrl-C and a line of progress."""

import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from fastconv import _arrays, _geometry, _signals
from fastconv._progress import Line, clock
from fastconv.nn import losses, serialization
from fastconv.nn.optimizers import SGD, Adam, AdamW
from fastconv.nn.runs import Run, print_of, said_of
from fastconv.nn.schedules import CosineAnnealingLR, OneCycleLR
from fastconv.nn.steps import check_optimizer, checked_data

OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
SCHEDULES = {
    "cosine": lambda lr, steps: CosineAnnealingLR(lr, steps),
    "one_cycle": lambda lr, steps: OneCycleLR(lr, steps),
}
SCHEDULED = ("lr", "momentum", "betas")  # what a schedule changes, and `fit` puts back


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
        What `loss` takes: for `cross_entropy` (N,) integers. As it is: bytes are not divided.
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
        The model is in the mode of `eval` then, the optimiser's rate and momentum as before.

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
    x, y = checked_data("fit", model, "x", x, y, loss)
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(f"fit: validation is {_arrays.shown(validation)}, expected (x, y)")
        validation = checked_data("fit", model, "validation", *validation, loss)
    epochs, batch_size = (
        _geometry.integer("fit", name, value, 1)
        for name, value in (("epochs", epochs), ("batch_size", batch_size))
    )
    seed = _geometry.integer("fit", "seed", seed, 0)
    if patience is not None:
        _geometry.integer("fit", "patience", patience, 1)
    callbacks = callbacks if isinstance(callbacks, list | tuple) else (callbacks,)
    _check_functions(augment, schedule, callbacks)
    optimizer = _optimizer(model, optimizer, lr)
    keep_best = validation is not None if keep_best is None else bool(keep_best)
    batches = -(-len(x) // batch_size)
    said = {"schedule": said_of(schedule)}
    if isinstance(schedule, str):
        said["schedule"] += f" of {epochs} epochs"
        schedule = _named("schedule", SCHEDULES, schedule)(optimizer.lr, epochs * batches)
    if resume and checkpoint is None:
        raise ValueError("fit: resume needs a checkpoint, got none")
    if checkpoint is not None:
        serialization.check_path("fit", "checkpoint", checkpoint)
        said |= {
            "data": print_of(x, y), "validation": validation and print_of(*validation),
            "optimizer": said_of(optimizer), "seed": seed, "batch_size": batch_size,
            "loss": said_of(loss), "augment": said_of(augment), "keep_best": keep_best,
        }  # fmt: skip
    run = Run(model, optimizer, loss, seed, keep_best, said)
    before = {key: value for key, value in vars(optimizer).items() if key in SCHEDULED}
    if resume and Path(checkpoint).exists():
        run.restore(checkpoint)
    history = run.history
    history.stopped = ""

    def exhausted():
        return patience is not None and history.epochs - 1 - history.best_epoch >= patience

    if exhausted():
        history.stopped = "patience"
    status = _Status(history.epochs, epochs, batches, batch_size) if progress else None
    with _stop_asked() as stop:
        for epoch in range(history.epochs, epochs):
            if history.stopped:
                break
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
            elif exhausted():
                history.stopped = "patience"
    if schedule is not None:
        vars(optimizer).update(before)
    if status is not None:
        status.clear()
    history.kept_epoch = -1 if history.stopped == "interrupted" else history.epochs - 1
    if run.best is not None:
        history.kept_epoch = history.best_epoch
        model.load_state_dict(run.best)
    model.eval()
    return history


def _check_functions(augment, schedule, callbacks):
    for name, function in (
        ("augment", augment), *(("callbacks", each) for each in callbacks),
        ("schedule", None if isinstance(schedule, str) else schedule),
    ):  # fmt: skip
        if not (callable(function) or (function is None and name in ("augment", "schedule"))):
            raise TypeError(f"fit: {name} is {_arrays.shown(function)}, expected a function")


def _optimizer(model, optimizer, lr):
    if isinstance(optimizer, str):
        kind = _named("optimizer", OPTIMIZERS, optimizer)
        return kind(model.parameters(), **({} if lr is None else {"lr": lr}))
    check_optimizer("fit", optimizer, model)
    if lr is not None:
        raise ValueError(f"fit: lr is {lr}, expected None: the optimiser has one")
    return optimizer


def _named(argument, choices, name):
    if name not in choices:
        raise ValueError(f"fit: {argument} is {name!r}, expected one of {', '.join(choices)}")
    return choices[name]


@contextmanager
def _stop_asked():
    """An event that Ctrl-C sets; a second one raises KeyboardInterrupt."""
    event = threading.Event()

    def ask(number, before):
        event.set()
        signal.signal(number, before)

    with _signals.handled((signal.SIGINT,), ask):
        yield event


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
            f"epoch {epoch + 1}/{self.epochs}: {_numbers(*part)}, "
            f"{done * self.batch_size / seconds:,.0f} images per second, "
            f"{clock(seconds / done * (total - done))} left"
        )

    def epoch(self, history):
        self.clear()
        print(_epoch_line(history, self.epochs), file=sys.stderr)

    def clear(self):
        self._line.clear()


def _epoch_line(history, epochs):
    text = f"epoch {history.epochs}/{epochs}: {_numbers(history.loss[-1], history.accuracy[-1])}"
    if history.validation_loss:
        numbers = _numbers(history.validation_loss[-1], history.validation_accuracy[-1])
        text += f"; validation: {numbers}"
    return text


def _numbers(loss, accuracy):
    return f"loss {loss:.4f}" + ("" if math.isnan(accuracy) else f", accuracy {accuracy:.1%}")
