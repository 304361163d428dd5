"""Schedules: ``schedule(step)`` is the learning rate of a step, counted from 0.

In PyTorch's names and formulas; a step is whatever is counted, in `fit` a batch.
"""

import math


class StepLR:
    """lr times `gamma` after every `step_size` steps."""

    def __init__(self, lr, step_size, gamma=0.1):
        self.lr, self.step_size, self.gamma = lr, step_size, gamma

    def __call__(self, step):
        return self.lr * self.gamma ** (step // self.step_size)


class CosineAnnealingLR:
    """From lr down to `eta_min` along half a cosine of `T_max` steps (arXiv:1608.03983)."""

    def __init__(self, lr, T_max, eta_min=0.0):
        self.lr, self.T_max, self.eta_min = lr, T_max, eta_min

    def __call__(self, step):
        return _cosine(self.lr, self.eta_min, min(step / self.T_max, 1))


class OneCycleLR:
    """Up to `max_lr` and down again, along half cosines (arXiv:1708.07120).

    It begins at ``max_lr / div_factor``, is at max_lr after `pct_start` of `total_steps`, and ends
    at the beginning's rate over `final_div_factor`.
    """

    def __init__(self, max_lr, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.div_factor, self.final_div_factor = div_factor, final_div_factor

    def __call__(self, step):
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1
        if step <= top:
            return _cosine(first, self.max_lr, step / top)
        part = (step - top) / (self.total_steps - 1 - top)
        return _cosine(self.max_lr, first / self.final_div_factor, min(part, 1))


def _cosine(start, end, part):
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
