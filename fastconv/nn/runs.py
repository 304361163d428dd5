"""The state of a training, from epoch to epoch and in a checkpoint."""

import math
import zlib
from dataclasses import asdict, dataclass, field

import numpy as np

from fastconv import _arrays
from fastconv.nn import serialization
from fastconv.nn.layers import Dropout
from fastconv.nn.module import checked_number, dtype_of, floats
from fastconv.nn.steps import evaluate, right, take_step


@dataclass
class History:
    """What `fit` saw: a number for each epoch, and `steps` the loss of each batch.

    `stopped` says why it ended early: "", "patience", "callback" or "interrupted"; `best_epoch` had
    the least loss (validation's, if there is one), the model has the weights of `kept_epoch`, or if
    that is -1, those in the middle of an epoch. `accuracy` is NaN where labels are no classes.
    """

    loss: list = field(default_factory=list)
    accuracy: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    validation_accuracy: list = field(default_factory=list)
    steps: list = field(default_factory=list, repr=False)  # too many to show
    best_epoch: int = -1
    stopped: str = ""
    kept_epoch: int = -1

    @property
    def epochs(self):
        """How many epochs there were."""
        return len(self.loss)


class Run:
    """The state of a training: what a checkpoint holds."""

    def __init__(self, model, optimizer, loss, seed, keeps_best, said):
        self.model, self.optimizer, self.loss, self.seed = model, optimizer, loss, seed
        self.keeps_best, self.best, self.history = keeps_best, None, History()
        self.said = said | {"model": f"{model!r} of {dtype_of(model)}"}

    def epoch(self, x, y, epoch, batches, batch_size, schedule, augment, threads):
        """Train on every sample once; yields (batch, mean loss and accuracy so far)."""
        # Random numbers follow from the seed and the epoch, so that a checkpoint needs none.
        order = np.random.default_rng([self.seed, epoch]).permutation(len(x))
        for i, module in enumerate(self.model.modules()):
            if isinstance(module, Dropout):
                module.seed([self.seed, epoch, i])
        self.sums, dtype = np.zeros(2), self.optimizer.gradients().dtype
        for step in range(batches):
            part = order[step * batch_size : (step + 1) * batch_size]
            images = x[part]
            if augment is not None:
                images = augment(images, [self.seed, epoch, step], threads)
                images = _arrays.readable("fit", "augment's result", images, (dtype.name, "uint8"))
            images = floats(images, dtype)
            if schedule is not None:
                lr = schedule(epoch * batches + step)
                self.optimizer.lr = checked_number("fit", "schedule's result", lr)
                if getattr(schedule, "cycle_momentum", False):
                    self.optimizer.set_momentum(schedule.momentum(epoch * batches + step))
            labels = y[part]
            value, result = take_step(
                self.model, self.optimizer, images, labels, self.loss, threads
            )
            self.history.steps.append(value)
            self.sums += value * len(part), right(result, labels)
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
        best = history.best_epoch
        # A NaN is worse than any number, and no better than another.
        better = best < 0 or watched[-1] < watched[best]
        if better or math.isnan(watched[best]) > math.isnan(watched[-1]):
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
        for key, mine in self.said.items():
            if said.get(key) != mine:
                raise ValueError(
                    f"fit: {path} has {key} {_arrays.shown(said.get(key))}, expected "
                    f"{_arrays.shown(mine)}: it is a checkpoint of another training, which goes on "
                    "with the data and arguments that it began with"
                )
        before = {name: array.copy() for name, array in self.model.state_dict().items()}
        try:
            parts = {"model": {}, "optimizer": {}, "best": {}}
            for key, array in arrays.items():
                part, _, name = key.partition("/")
                parts[part][name] = array
            history, lr = History(**text["history"]), float(text["lr"])
            self.model.load_state_dict(parts["model"])
            self.optimizer.load_state_dict(parts["optimizer"])
        except (KeyError, TypeError, ValueError) as error:
            self.model.load_state_dict(before)
            raise ValueError(f"fit: {path} is damaged: {error}") from None
        self.optimizer.lr, self.best, self.history = lr, parts["best"] or None, history


def said_of(argument):
    """What can be compared of an argument: a name, and the numbers of an object."""
    if argument is None or isinstance(argument, str):
        return argument
    numbers = {
        key: value
        for part in ("__dict__", "keywords")  # those of a functools.partial
        for key, value in getattr(argument, part, {}).items()
        if isinstance(value, int | float | tuple) and key != "steps"
    }
    argument = getattr(argument, "func", argument)
    name = getattr(argument, "__qualname__", type(argument).__name__)
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in numbers.items())})"


def print_of(x, y):
    """Samples as what a checkpoint compares them by."""
    sums = (f"{zlib.crc32(np.ascontiguousarray(each)):08x}" for each in (x, y))
    return f"{x.shape} of {x.dtype}, CRC {' '.join(sums)}"
