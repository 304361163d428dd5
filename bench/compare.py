"""python -m bench compare: what got slower from one run to another.

Only the ratios of one run mean something, so these are compared: fastconv's figure over that of
the best peer and, where there is one, over the peak of multiply-adds. A row with both is slower
when both are: when one alone fell, it was the peer or the clock that moved.
"""

import argparse

from . import BenchError
from .report import number, percent, read_json, results_path

SLOWER = 0.05


def main(argv):
    """Print the rows that got slower; give 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="python -m bench compare",
        description=f"Name the rows that got more than {SLOWER:.0%} slower, beside the peers.")
    parser.add_argument("old", nargs="?", metavar="OLD",
                        help="a run's file; by default that of bench/results for this machine")
    parser.add_argument("new", metavar="NEW", help="the file of a later run")
    options = parser.parse_args(argv)
    new = read_json(options.new)
    old = read_json(options.old or results_path(new))
    if results_path(old) != results_path(new):
        raise BenchError(f"the runs are of different kinds: {results_path(old).stem}, "
                         f"{results_path(new).stem}")
    pairs = common_rows(old, new)
    slow = [pair for pair in pairs if is_slower(*pair)]
    for before, after in slow:
        print(f"{before['name']}: {_change(before, after)}")
    print(f"{len(slow)} of {len(pairs)} rows are more than {SLOWER:.0%} slower")
    return 1 if slow else 0


def common_rows(old, new):
    """Give the pairs of rows that both runs have, and the older one with a ratio."""
    rows = {row["name"]: row for row in old["rows"] if row["ratio"]}
    return [(rows[row["name"]], row) for row in new["rows"] if row["name"] in rows]


def is_slower(before, after):
    """Whether all the row's ratios fell by more than `SLOWER`, or are gone."""
    return all((after[key] or 0) < before[key] * (1 - SLOWER)
               for key in ("ratio", "of_peak") if before[key])


def _change(before, after):
    text = (f"{number(before['ratio'])} -> {number(after['ratio'])} x best "
            f"({before['best']} -> {after['best']})")
    if before["of_peak"]:
        text += f", {percent(before['of_peak'])} -> {percent(after['of_peak'])} of FMA peak"
    return text
