"""Schedules: ``schedule(step)`` is the learning rate of a step, counted from 0.

In PyTorch's names and formulas; a step is whatever is counted, in `fit` a batch.
"""

import math

from fastconv._geometry import integer
from fastconv.nn.module import checked_number


class StepLR:
    """lr times `gamma` after every `step_size` steps.

    >>> schedule = StepLR(0.1, step_size=10, gamma=0.5)
    >>> schedule(9), schedule(10)
    (0.1, 0.05)
    """

    def __init__(self, lr, step_size, gamma=0.1):
        self.lr, self.gamma = (
            checked_number("StepLR", name, value) for name, value in (("lr", lr), ("gamma", gamma))
        )
        self.step_size = integer("StepLR", "step_size", step_size, 1)

    def __call__(self, step):
        return self.lr * self.gamma ** (step // self.step_size)


class CosineAnnealingLR:
    """From lr down to `eta_min` along half a cosine of `T_max` steps, and up again.

    arXiv:1608.03983.

    >>> [round(CosineAnnealingLR(0.1, T_max=4)(step), 3) for step in (0, 2, 4, 6)]
    [0.1, 0.05, 0.0, 0.05]
    """

    def __init__(self, lr, T_max, eta_min=0.0):
        self.lr = checked_number("CosineAnnealingLR", "lr", lr)
        self.T_max = integer("CosineAnnealingLR", "T_max", T_max, 1)
        self.eta_min = checked_number("CosineAnnealingLR", "eta_min", eta_min)

    def __call__(self, step):
        return _cosine(self.lr, self.eta_min, step / self.T_max)


class OneCycleLR:
    """Up to `max_lr` and down again, along half cosines (arXiv:1708.07120).

    It begins at ``max_lr / div_factor``, is at max_lr after `pct_start` of `total_steps`, and ends
    at the beginning's rate over `final_div_factor`. Meanwhile `fit` takes the optimiser's momentum
    from `max_momentum` down to `base_momentum` and up again, unless `cycle_momentum` is false.

    >>> schedule = OneCycleLR(0.1, total_steps=11)
    >>> [round(schedule(step), 3) for step in (0, 2, 10)], round(schedule.momentum(0), 2)
    ([0.004, 0.096, 0.0], 0.95)
    """

    def __init__(
        self, max_lr, total_steps, pct_start=0.3, cycle_momentum=True, base_momentum=0.85,
        max_momentum=0.95, div_factor=25.0, final_div_factor=1e4,
    ):  # fmt: skip
        name = "OneCycleLR"
        self.total_steps = integer(name, "total_steps", total_steps, 1)
        self.max_lr = checked_number(name, "max_lr", max_lr)
        if not 0 <= checked_number(name, "pct_start", pct_start) <= 1:
            raise ValueError(f"{name}: pct_start is {pct_start}, expected 0 to 1")
        self.pct_start, self.cycle_momentum = pct_start, bool(cycle_momentum)
        self.base_momentum = checked_number(name, "base_momentum", base_momentum, below=1)
        self.max_momentum = checked_number(name, "max_momentum", max_momentum, below=1)
        self.div_factor = checked_number(name, "div_factor", div_factor, 1)
        self.final_div_factor = checked_number(name, "final_div_factor", final_div_factor, 1)

    def __call__(self, step):
        first = self.max_lr / self.div_factor
        return self._at(step, first, self.max_lr, first / self.final_div_factor)

    def momentum(self, step):
        """The momentum of a step."""
        return self._at(step, self.max_momentum, self.base_momentum, self.max_momentum)

    def _at(self, step, first, top, last):
        up = self.pct_start * self.total_steps - 1
        down = self.total_steps - 1 - up
        if up > 0 and step <= up:
            return _cosine(first, top, step / up)
        return _cosine(top, last, min((step - up) / down, 1) if down else 0)


def _cosine(start, end, part):
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
