"""The roofline of a run: each layer's speed over its operations per byte, beneath the limits."""

from itertools import cycle
from pathlib import Path
from statistics import median

from . import BenchError
from .report import team
from .runner import FRESH, OURS

# Okabe and Ito's colours, which colour-blind eyes tell apart; the markers differ, too.
STYLES = (("#0072B2", "s"), ("#E69F00", "^"), ("#009E73", "D"), ("#CC79A7", "v"), ("#56B4E9", "P"))
OUR_STYLE = "#D55E00", "o"
ROOF = "#555555"
COLUMN_WIDTH = 0.1  # inches from one row's points to the next
LABEL_WIDTH = 0.17  # and from name to name, at a font size of 8
NOTE = """Each peer in its best variant.
Above the peak: Winograd, which
multiplies less than is counted.
Rows of one intensity stand
side by side."""


def check(path, cases):
    """Refuse, before anything is timed, a picture that could not be drawn afterwards."""
    if not any(case.intensity for case in cases):
        raise BenchError("--plot: there is no convolution among the rows")
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError:
        raise BenchError("--plot needs matplotlib: python -m pip install matplotlib") from None
    kinds = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in kinds:
        raise BenchError(f"--plot: {path} has none of the endings {', '.join(sorted(kinds))}")


def draw(found, path):
    """Draw the convolutions of a run, each peer in its best variant, into a picture."""
    from matplotlib.figure import Figure

    rows = sorted((row for row in found["rows"] if row["intensity"]),
                  key=lambda row: row["intensity"])
    figure = Figure(figsize=(max(11, 5 + LABEL_WIDTH * len(rows)), 7.5), dpi=130)
    axes = figure.add_axes((0.06, 0.08, 0.73, 0.74))
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s of nominal work",
             xlabel="FLOP per byte of input, weights and result, each moved once",
             xlim=(rows[0]["intensity"] * 0.75, rows[-1]["intensity"] * 1.33))
    _points(axes, rows, _columns(axes, rows))
    _roofs(axes, rows, found["copy"])
    _ticks(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=9,
                labelspacing=0.7, alignment="left",
                title=f"{found['machine']['cpu']}, {team(found['settings']['threads'])}")
    axes.text(1.03, 0, NOTE, transform=axes.transAxes, fontsize=8, color=ROOF)
    figure.savefig(path)


def spread(wanted, gap):
    """Move ascending places apart to at least `gap`, together no farther than they must."""
    clusters = []  # of [mean of what the first member wants, members]
    for place in wanted:
        clusters.append([place, 1])
        while len(clusters) > 1 and clusters[-2][0] + clusters[-2][1] * gap > clusters[-1][0]:
            first, members = clusters.pop()
            before, others = clusters[-1]
            total = others + members
            clusters[-1] = [(before * others + (first - others * gap) * members) / total, total]
    return [first + gap * i for first, members in clusters for i in range(members)]


def _columns(axes, rows):
    """Give each row's intensity, moved a little where others would cover its points.

    Above them the names are written, farther apart, with lines that lead down to the points.
    """
    to_axes = axes.transScale + axes.transLimits
    width = axes.get_position().width * axes.figure.get_figwidth()
    places = spread([to_axes.transform((row["intensity"], 1))[0] for row in rows],
                    COLUMN_WIDTH / width)
    for row, place, label in zip(rows, places, spread(places, LABEL_WIDTH / width), strict=True):
        axes.plot([place, place, label], [0, 1, 1.04], transform=axes.transAxes, clip_on=False,
                  color="#cccccc", linewidth=0.6, zorder=1)
        axes.text(label, 1.05, row["name"], transform=axes.transAxes, rotation=90, fontsize=8,
                  ha="center", va="bottom")
    return [to_axes.inverted().transform((place, 0))[0] for place in places]


def _points(axes, rows, columns):
    best = {}  # {peer: [(column, speed)]}
    for row, column in zip(rows, columns, strict=True):
        speeds = {}
        for label, result in row["results"].items():
            if "value" in result and label != FRESH:
                speeds.setdefault(result["peer"], []).append(result["value"])
        for peer, values in speeds.items():
            best.setdefault(peer, []).append((column, max(values)))
    styles = dict(zip(sorted(best.keys() - {OURS}), cycle(STYLES), strict=False))
    for peer in sorted(best, key=lambda peer: (peer == OURS, peer)):  # ours on top
        colour, marker = styles.get(peer, OUR_STYLE)
        axes.scatter(*zip(*best[peer], strict=True), s=60 if peer == OURS else 36, color=colour,
                     marker=marker, label=peer, edgecolor="white", linewidth=0.6, zorder=3)


def _roofs(axes, rows, copies):
    left, right = axes.get_xlim()
    bottom, _ = axes.get_ylim()
    peaks = {}
    for row in rows:
        if row["peak"]:
            peaks.setdefault(row["dtype"], []).append(row["peak"])
    peaks = {dtype: median(values) for dtype, values in peaks.items()}
    for (dtype, peak), line in zip(peaks.items(), ("-", "--"), strict=False):
        axes.plot([left, right], [peak] * 2, line, color=ROOF, linewidth=1.2, zorder=2,
                  label=f"multiply-adds, {dtype}:\n{peak:.0f} GFLOP/s")
    for (place, speed), line in zip(copies.items(), ("-.", ":"), strict=True):
        top = max(peaks.values(), default=axes.get_ylim()[1])
        ends = max(left, bottom / speed), top / speed
        axes.plot(ends, [speed * end for end in ends], line, color=ROOF, linewidth=1.2, zorder=2,
                  label=f"copy in {place}:\n{speed:.0f} GB/s")
    axes.set(xlim=(left, right), ylim=(bottom, None))


def _ticks(axes):
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
