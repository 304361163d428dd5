"""python -m bench: time fastconv's rows beside its peers'.

`python -m bench table` and `python -m bench compare` read what was found.
"""

import argparse
import sys
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from . import BenchError, compare, photos, plot, readme, report
from .cases import CASES, select
from .runner import PEERS, Settings, copy_speeds, run_row, started

PHOTOS = "photos"
GROUPS = list({case.group: None for case in CASES})


def main(argv=None):
    """Run the benchmark and give the exit status.

    0; 1 if an answer was refused, a peer failed, the README's table is not that of the results
    or a row got slower; 2 if it cannot run; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["table"]:
            return readme.main(argv[1:])
        if argv[:1] == ["compare"]:
            return compare.main(argv[1:])
        return _run(_parser().parse_args(argv))
    except (BenchError, ModuleNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Check, then time fastconv's rows beside its peers', turn by turn. "
                    "`table` and `compare` in place of the rows: see their own --help.",
    )
    parser.add_argument(
        "patterns", nargs="*", metavar="ROW", default=[],
        help=f"a group ({', '.join(GROUPS)}), a row, a glob, or a part of a name; all by default. "
             "'photos' is a folder of photographs through the command line")
    parser.add_argument("--rows", action="append", default=[], metavar="ROW", help="the same")
    parser.add_argument("--peers", metavar="NAMES", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--threads", type=_positive(int), default=1, help="default: 1")
    parser.add_argument("--rounds", type=_positive(int), default=5, help="default: 5")
    parser.add_argument("--seconds", type=_positive(float), default=0.08,
                        help="time of each peer in each round, default: 0.08")
    parser.add_argument("--count", type=_positive(int), default=200,
                        help="how many photographs, default: 200")
    parser.add_argument("--json", metavar="FILE", help="write everything there, too")
    parser.add_argument("--save", action="store_true",
                        help="write everything to this machine's file in bench/results")
    parser.add_argument("--plot", metavar="PICTURE",
                        help="draw the convolutions and the machine's limits there (a roofline)")
    parser.add_argument("--list", action="store_true", help="show the rows and end")
    return parser


def _run(options):
    patterns = [*options.patterns, *options.rows]
    cases = [] if patterns == [PHOTOS] else select([p for p in patterns if p != PHOTOS])
    peers = _peers(options.peers)
    if options.list:
        for case in cases:
            print(f"{case.group:9}  {case.name:20}  {case.description}")
        return 0
    if options.save and (patterns or options.peers):
        raise BenchError("--save keeps whole runs: leave out rows and --peers")
    for option, path in (("--json", options.json), ("--plot", options.plot)):
        if path and not Path(path).parent.is_dir():
            raise BenchError(f"{option}: no folder {Path(path).parent} to write in")
    if options.plot:
        plot.check(options.plot, cases)
    settings = Settings(options.threads, options.rounds, options.seconds)
    found = {"settings": asdict(settings), "machine": report.machine({}), "rows": []}
    if cases:
        found |= _time_rows(cases, peers, settings, limits=bool(options.plot))
    if PHOTOS in patterns:
        found["photos"] = photos.run(options.count, options.rounds)
        print(photos.describe(found["photos"]))
    if options.json:
        report.write_json(options.json, found)
    if options.save:
        report.RESULTS.mkdir(exist_ok=True)
        report.write_json(report.results_path(found), found)
    if options.plot:
        plot.draw(found, options.plot)
    refused = [row for row in found["rows"]
               if not all(result["ok"] for result in row["results"].values())]
    return 1 if refused else 0


def _time_rows(cases, peers, settings, limits):
    """Print a table as soon as a group of rows is done; give what goes into the file.

    `limits`: measure the speed of copies, too.
    """
    with started(peers, settings.threads) as (workers, greetings, missing):
        for peer, reason in missing.items():
            print(f'bench: without {peer}: {reason}; python -m pip install -e ".[bench]" '
                  "brings all peers", file=sys.stderr)
        if not workers:
            raise BenchError("no peer can run here")
        computer = report.machine(greetings)
        print(report.summary(computer))
        copies = {"copy": copy_speeds(workers[0], settings.threads)} if limits else {}
        rows = []
        for _, members in groupby(cases, key=lambda case: case.group):
            group = []
            try:
                for case in members:
                    _progress(f"[{len(rows) + len(group) + 1}/{len(cases)}] {case.name}")
                    group.append(run_row(case, workers, settings))
            finally:  # Ctrl-C, too, shows what is done
                _progress("")
                if group:
                    print("\n" + report.table(group, settings.threads), flush=True)
            rows += group
    return {"machine": computer, "missing": missing, **copies, "rows": rows}


def _peers(names):
    if names is None:
        return PEERS
    peers = [name.strip() for name in names.split(",")]
    for peer in peers:
        if peer not in PEERS:
            raise BenchError(f"unknown peer {peer!r}: there are {', '.join(PEERS)}")
    return peers


def _progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _positive(kind):
    def convert(text):
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
        return value

    convert.__name__ = kind.__name__
    return convert


if __name__ == "__main__":
    sys.exit(main())
