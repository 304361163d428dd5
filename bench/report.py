"""What a run found, as tables for people and as a file for programs."""

import json
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from . import BenchError
from .runner import FRESH, OURS

RESULTS = Path(__file__).with_name("results")


def machine(greetings):
    """Describe this machine, its software and the peers that took part."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "peers": greetings,
    }


def results_path(found):
    """Give the file of bench/results that is for such a run: its machine and its threads."""
    computer = found["machine"]
    name = (f"{computer['cpu']} {computer['cores']} cores {computer['peers'][OURS]['isa']} "
            f"{team(found['settings']['threads'])}")
    return RESULTS / (re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")


def team(threads):
    return "1 thread" if threads == 1 else f"{threads} threads"


def read_json(path):
    """Read a run that `write_json` wrote; raise BenchError for anything else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        results_path(found)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise BenchError(f"{path} is not a run of fastconv from --json or --save") from None
    return found


def write_json(path, found):
    """Write a run with a line for each row, so that versions of the file can be compared."""
    frame = json.dumps({**found, "rows": []}, indent=1)
    rows = ",\n".join(map(json.dumps, found["rows"]))
    text = frame.replace('"rows": []', f'"rows": [\n{rows}\n]') + "\n"
    Path(path).write_text(text, encoding="utf-8", newline="\n")


def summary(computer):
    """Say in a line what `machine` found."""
    peers = ", ".join(
        f"{name} {greeting['version']}" + (f" ({greeting['isa']})" if "isa" in greeting else "")
        for name, greeting in computer["peers"].items()
    )
    return f"{computer['cpu']}, {computer['cores']} cores; {peers}; NumPy {computer['numpy']}"


def table(rows, threads):
    """Lay out rows of one group, and below them what there is to say about their answers."""
    columns = [("", "row", [row["name"] for row in rows])]
    labels = list({label: None for row in rows for label in row["results"]})
    for label in sorted(labels, key=lambda label: (label in (OURS, FRESH), labels.index(label))):
        upper, lower = label.split() if " " in label else ("", label)
        columns.append((upper, lower, [_figure(row, label) for row in rows]))
        key = {OURS: "ratio", FRESH: "fresh_ratio"}.get(label)
        if any(row.get(key) for row in rows):
            columns.append(("", "x best", [number(row[key]) for row in rows]))
    if any(row["of_peak"] for row in rows):
        columns.append(("of FMA", "peak", [percent(row["of_peak"]) for row in rows]))
    title = f"{rows[0]['group']}, {rows[0]['unit']}, {team(threads)}; * is the best other peer"
    return "\n".join([title, *_aligned(columns), *_notes(rows)])


def _aligned(columns):
    lines = [[upper for upper, _, _ in columns], [lower for _, lower, _ in columns]]
    lines += zip(*(cells for _, _, cells in columns), strict=True)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        name, *cells = line
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *padded]).rstrip()


def _figure(row, label):
    result = row["results"].get(label)
    if result is None:
        return "- "
    if not result["ok"]:
        return "FAILED " if result.get("failed") else "WRONG "
    return number(result["value"]) + ("*" if label == row["best"] else " ")


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(fraction):
    return "-" if fraction is None else f"{fraction:.0%}"


def _notes(rows):
    """Say why results were refused, and how many integers are off by one."""
    off_by_one = {}
    for row in rows:
        for label, result in row["results"].items():
            if not result["ok"]:
                yield f"{row['name']}: {label}: {result['reason']}"
            elif result.get("off_by_one"):
                count = f"{row['name']} {result['off_by_one']}"
                off_by_one.setdefault(label, []).append(count)
    for label, counts in off_by_one.items():
        yield f"{label}: values off by one, as allowed: {', '.join(counts)}"


def _cpu_model():
    """Name the processor; its family and model, too, since a virtual machine may tell no more."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        first = ""
    known = dict(re.findall(r"^(.*?)\s*: (.*)$", first, re.MULTILINE))
    name = known.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in known and "model" in known:
        name += f" (family {known['cpu family']}, model {known['model']})"
    return name
