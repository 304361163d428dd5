"""python -m bench table: the table of the README, from a recorded run.

The README holds the table between two comments, the first of which names the run's file.
"""

import argparse
import re

from . import ROOT, BenchError
from .cases import CASES
from .report import number, read_json, summary, team
from .runner import OURS

README = ROOT / "README.md"
REGION = re.compile(r"(<!-- python -m bench table: (\S+) -->\n).*?(<!-- end of the table -->)",
                    re.DOTALL)
FEATURED = (*(case.name for case in CASES if case.group == "conv"), "filter2d_3x3_f32",
            "filter2d_7x7_u8", "gaussian_3_f32", "sobel_3x3_u8", "max2x2s2_112", "max3x3s2_28",
            "small_filter_f32")


def main(argv):
    """Write the table, or with --check only compare it; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench table",
                                     description="Write the README's table from its results.")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit with 1 if the README has another table")
    options = parser.parse_args(argv)
    old = README.read_text(encoding="utf-8")
    new = updated(old)
    if new == old:
        return 0
    if options.check:
        print("README.md has another table than its results: run `python -m bench table`")
        return 1
    README.write_text(new, encoding="utf-8", newline="\n")
    return 0


def updated(text):
    """Give the text with the table that its comments ask for."""
    region = REGION.search(text)
    if not region:
        raise BenchError("README.md has no comments to write the table between")
    start, path, end = region.groups()
    table = "\n".join(lines(read_json(ROOT / path)))
    return f"{text[:region.start()]}{start}{table}\n{end}{text[region.end():]}"


def lines(found):
    """Give the table's lines, and above them what was measured, on what, with what."""
    yield f"{team(found['settings']['threads'])}; {summary(found['machine'])}."
    yield ""
    yield "| row | | fastconv | best peer | ratio |"
    yield "|---|---|---|---|---|"
    rows = {row["name"]: row for row in found["rows"]}
    for case in CASES:
        if case.name in FEATURED and case.name in rows:
            row = rows[case.name]
            ours, best = (_figure(row, label) for label in (OURS, row["best"]))
            yield (f"| {case.name} | {case.description} | {ours} {case.unit} "
                   f"| {best} {row['best'] or ''} | {number(row['ratio'])} |")


def _figure(row, label):
    return number(row["results"].get(label, {}).get("value"))
