"""The frame of the benchmark, on tiny rows; the peers other than SciPy are not needed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

bench = pytest.importorskip("bench", reason="bench/ is not beside tests/: not a checkout")

from bench import answers, compare, photos, plot, readme, report, runner, worker  # noqa: E402
from bench.__main__ import main  # noqa: E402
from bench.cases import CASES, Case, select  # noqa: E402

CONV = Case("tiny_conv", "conv", "conv2d", (1, 2, 6, 5), "GFLOP/s", 1e-6, (3, 2, 3, 3),
            arguments={"stride": 1, "padding": 1, "dilation": 1, "groups": 1,
                       "layout": "NCHW"})
CONV_F64 = replace(CONV, name="tiny_f64", dtype="float64")
INT8 = Case("tiny_int8", "conv_int8", "conv_quantized", (2, 4, 6, 5), "GOP/s", 1e-6, (6, 2, 3, 3),
            "uint8", {"stride": 2, "padding": 1, "dilation": 1, "groups": 2, "layout": "NCHW",
                      "x_scale": 0.5, "x_zero_point": 131, "weight_scale": 2.0,
                      "weight_zero_point": 0, "y_scale": 190.0, "y_zero_point": 120})
FILTER = Case("tiny_filter", "filters", "filters.filter2d", (9, 8), "Mpixel/s", 7.2e-5, (3, 3))
FILTER_U8 = Case("tiny_u8", "filters", "filters.filter2d", (9, 8), "Mpixel/s", 7.2e-5, (3, 3),
                 dtype="uint8")
POOL = Case("tiny_pool", "pool", "max_pool2d", (1, 2, 6, 6), "GB/s", 2.9e-7,
            arguments={"kernel_size": 2, "stride": 2, "padding": 0, "layout": "NCHW"})
SETTINGS = runner.Settings(rounds=2, seconds=0.002)

# Peers that go wrong, each in its own way. The reference's answer lies beside the arrays.
STRANGE_PEERS = {
    "wrong": "def prepare(case, arrays, threads):\n"
             "    return {'wrong': lambda: arrays['x'] * 2}\n",
    "raising": "def prepare(case, arrays, threads):\n"
               "    raise RuntimeError('no such layer\\nand more')\n",
    "dying": "import os\n"
             "def prepare(case, arrays, threads):\n"
             "    os._exit(3)\n",
    "chatty": "print('a banner')\n"
              "def prepare(case, arrays, threads):\n"
              "    print('a remark')\n"
              "    return {}\n",
    "absent": "import a_module_that_nobody_has\n",
    "packed": "OWN_LAYOUT = ('packed', 'nobody')\n"
              "def prepare(case, arrays, threads):\n"
              "    if case.group != 'pool':\n"
              "        return {}\n"
              "    windows = arrays['x'].reshape(1, 2, 3, 2, 3, 2)\n"
              "    return {'packed': lambda: windows.max((3, 5))}\n",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The rows of one short run with fastconv, SciPy and the strange peers; and who is missing."""
    folder = tmp_path_factory.mktemp("peers")
    (folder / "strange").mkdir()
    for name, source in STRANGE_PEERS.items():
        (folder / "strange" / f"{name}.py").write_text("VERSION = '1'\n" + source)
    peers = ["fastconv", "scipy", *(f"strange.{name}" for name in STRANGE_PEERS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with runner.started(peers, 1) as (workers, greetings, missing):
            rows = [runner.run_row(case, workers, SETTINGS) for case in (CONV, FILTER, POOL)]
    return {"rows": rows, "greetings": greetings, "missing": missing}


@pytest.fixture(scope="module")
def installed():
    """The workers of all peers that can run here."""
    with runner.started(runner.PEERS, 1) as (workers, _, _):
        yield workers


def recorded(run, **settings):
    """Give what a file would hold about the run."""
    return {"settings": asdict(replace(SETTINGS, **settings)),
            "machine": report.machine(run["greetings"]), "rows": run["rows"]}


@pytest.fixture
def filter_row(run):
    return run["rows"][1]


def test_rows_have_names_of_their_own():
    assert len({case.name for case in CASES}) == len(CASES)


def test_rows_survive_json():
    for case in CASES:
        copy = Case(**json.loads(json.dumps(asdict(case))))
        assert (copy.name, copy.work, copy.radius) == (case.name, case.work, case.radius)
        assert copy.is_plane == case.is_plane


def test_nominal_work():
    work = {case.name: case.work for case in CASES}
    assert work["r50_2_3x3"] == pytest.approx(2 * 64 * 64 * 9 * 56 * 56 / 1e9)
    assert work["r50_conv1"] == pytest.approx(2 * 64 * 3 * 49 * 112 * 112 / 1e9)
    assert work["dw3x3s2"] == pytest.approx(2 * 96 * 9 * 56 * 56 / 1e9)
    assert work["dilated_3x3"] == work["r50_2_3x3"]
    assert work["patch4x4s4"] == pytest.approx(2 * 96 * 3 * 16 * 56 * 56 / 1e9)
    assert work["r50_2_1x1_nhwc"] == pytest.approx(2 * 256 * 64 * 56 * 56 / 1e9)
    assert work["int8_2_1x1_nhwc"] == work["int8_2_1x1"] == work["r50_2_1x1"]
    assert work["sobel_3x3_u8"] == pytest.approx(2.0736)
    assert work["max2x2s2_112"] == pytest.approx(4 * 8 * 64 * 112 * 112 / 1e9)


def test_intensity():
    read, written = 2 * 6 * 5 + 3 * 2 * 3 * 3, 3 * 6 * 5
    conv = replace(CONV, work=2e-9 * written * 18)
    assert conv.intensity == pytest.approx(2 * written * 18 / (4 * (read + written)))
    assert replace(conv, dtype="float64").intensity == pytest.approx(conv.intensity / 2)


@pytest.mark.parametrize(("patterns", "names"), [
    (["r50_3_3x3"], {"r50_3_3x3"}),
    (["r50_3_3x3s"], {"r50_3_3x3s2"}),
    (["r50_3_3x3_"], {"r50_3_3x3_b8", "r50_3_3x3_b64"}),
    (["*_28", "dw3x3s2"], {"max2x2s2_28", "max3x3s2_28", "dw3x3s2"}),
])
def test_select(patterns, names):
    assert {case.name for case in select(patterns)} == names


def test_select_groups():
    assert {case.group for case in select(["conv", "pool"])} == {"conv", "pool"}
    assert select([]) == list(CASES)


@pytest.mark.parametrize("case", [CONV, CONV_F64, FILTER, FILTER_U8, INT8, POOL],
                         ids=lambda case: case.name)
def test_the_right_answer_is_accepted_and_others_are_not(case):
    expected, bound = answers.make_answer(case, answers.make_arrays(case))
    right = expected.astype(case.dtype)
    assert answers.judge(case, right, expected, bound)["ok"]
    assert not answers.judge(case, right[..., :-1], expected, bound)["ok"]
    assert not answers.judge(case, right.astype(np.int64), expected, bound)["ok"]
    wrong = right.copy()
    last = wrong.flat[-1]
    wrong.flat[-1] = last + 2 if last < 100 else last - 2
    verdict = answers.judge(case, wrong, expected, bound)
    assert not verdict["ok"]
    assert verdict["error"] > verdict["tolerance"]
    assert "is allowed" in verdict["reason"]


def test_nan_is_wrong():
    expected, bound = answers.make_answer(CONV, answers.make_arrays(CONV))
    result = expected.astype(np.float32)
    result.flat[7] = np.nan
    assert not answers.judge(CONV, result, expected, bound)["ok"]


def test_integers_off_by_one_are_counted():
    expected, bound = answers.make_answer(FILTER_U8, answers.make_arrays(FILTER_U8))
    result = expected.copy()
    result[:2, 0] ^= 1
    verdict = answers.judge(FILTER_U8, result, expected, bound)
    assert verdict["ok"]
    assert verdict["off_by_one"] == 2


def test_layers_of_integers_are_exact():
    expected, bound = answers.make_answer(INT8, answers.make_arrays(INT8))
    result = expected.copy()
    result[0, 0, 0, 0] ^= 1
    verdict = answers.judge(INT8, result, expected, bound)
    assert verdict["reason"] == "off by 1 where 0 is allowed"


def test_bands_give_the_whole_answer(monkeypatch):
    arrays = answers.make_arrays(FILTER)
    whole, _ = answers.make_answer(FILTER, arrays)
    monkeypatch.setattr(answers, "BAND", 2)
    np.testing.assert_array_equal(answers.make_answer(FILTER, arrays)[0], whole)


def test_measure_counts_the_calls():
    calls = []
    seconds = worker.measure(lambda: calls.append(None), 0.01)
    assert 0 < seconds < 1e-4
    assert len(calls) > 100


def test_measure_times_even_one_slow_call():
    assert worker.measure(lambda: None, 0) > 0


def test_right_peers_are_timed(filter_row):
    results = filter_row["results"]
    for label in ("fastconv", "fastconv fresh", "scipy"):
        assert results[label]["ok"]
        assert len(results[label]["rounds"]) == SETTINGS.rounds
        assert results[label]["value"] > 0
    assert filter_row["best"] == "scipy"
    assert filter_row["ratio"] == pytest.approx(
        results["fastconv"]["value"] / results["scipy"]["value"])


def test_poolings_are_compared_in_the_same_layout(run):
    """What a peer computes in a layout of its own is shown; in other groups it counts, too."""
    row = run["rows"][2]
    assert row["results"]["packed"]["value"] > 0
    assert row["best"] is None
    assert runner._compare("conv", row["results"], None)["best"] == "packed"


def test_wrong_answers_are_refused(filter_row):
    result = filter_row["results"]["wrong"]
    assert not result["ok"]
    assert "value" not in result
    assert result["error"] > result["tolerance"]


def test_failures_are_reported_and_the_rest_goes_on(run):
    for row in run["rows"]:
        assert row["results"]["strange.dying"]["failed"]
        assert row["results"]["fastconv"]["ok"]
    raising = run["rows"][0]["results"]["strange.raising"]
    assert raising["reason"] == "RuntimeError: no such layer"
    assert run["rows"][0]["results"]["strange.dying"]["reason"].endswith("status 3")


@pytest.mark.parametrize("case", [
    CONV, CONV_F64, POOL,
    replace(CONV, shape=(2, 4, 6, 5), kernel=(8, 2, 3, 3),
            arguments=CONV.arguments | {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}),
    replace(CONV, shape=(2, 6, 5, 2), arguments=CONV.arguments | {"layout": "NHWC"}),
    replace(CONV, shape=(1, 1, 8, 8), kernel=(1, 1, 3, 3)),
    *(replace(INT8, shape=shape, arguments=INT8.arguments | {"layout": layout})
      for shape, layout in (((2, 4, 6, 5), "NCHW"), ((2, 6, 5, 4), "NHWC"))),
    replace(INT8, operation="conv_integer",
            arguments={name: value for name, value in INT8.arguments.items()
                       if not name.endswith("scale") and name != "y_zero_point"}),
    replace(POOL, operation="avg_pool2d", shape=(2, 6, 7, 3),
            arguments=POOL.arguments | {"layout": "NHWC"}),
    replace(POOL, operation="avg_pool2d",
            arguments={"kernel_size": 3, "stride": 2, "padding": 1, "layout": "NCHW"}),
    *(replace(case, name=f"tiny_{case.name}", shape=shape)
      for case in CASES if case.group == "filters_more"
      for shape in [(*(3, 9, 8)[-len(case.shape) + 1:], 4) if case.arguments.get("channel_axis")
                    else (9, 8)]),
], ids=lambda case: case.description)
def test_every_installed_peer_is_right(case, installed):
    results = runner.run_row(case, installed, SETTINGS)["results"]
    assert {label: result for label, result in results.items() if not result["ok"]} == {}


def test_missing_peers_are_named(run):
    assert list(run["missing"]) == ["strange.absent"]
    assert "a_module_that_nobody_has" in run["missing"]["strange.absent"]
    assert "strange.chatty" in run["greetings"]


def test_convolutions_are_compared_with_the_peak(run):
    conv = run["rows"][0]
    assert conv["peak"] > 0
    assert conv["of_peak"] == pytest.approx(conv["results"]["fastconv"]["value"] / conv["peak"])
    assert run["rows"][1]["of_peak"] is None


def test_table(filter_row):
    title, _, header, line, *notes = report.table([filter_row], 1).splitlines()
    assert title.startswith("filters, Mpixel/s, 1 thread")
    assert header.split()[0] == "row"
    assert line.split()[0] == "tiny_filter"
    assert "WRONG" in line and "FAILED" in line and "*" in line
    assert max(map(len, (header, line))) < 120
    assert any(note.startswith("tiny_filter: wrong: off by") for note in notes)


def test_json(run, tmp_path):
    path = tmp_path / "run.json"
    report.write_json(path, recorded(run))
    content = report.read_json(path)
    assert content["machine"]["peers"]["scipy"]["version"]
    assert content["machine"]["cores"] >= 1
    assert [row["name"] for row in content["rows"]] == ["tiny_conv", "tiny_filter", "tiny_pool"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["no_such_row"], "unknown row 'no_such_row'"),
    (["--rows", "conv3d"], "unknown row 'conv3d'"),
    (["pool", "--peers", "fastconv,numpi"], "unknown peer 'numpi'"),
    (["pool", "--json", "no_such_folder/run.json"], "no folder no_such_folder"),
])
def test_bad_arguments(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: ") and error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("content", ["[", "[]", '{"rows": []}', '{"machine": 1}'])
def test_files_that_hold_no_run(content, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(content)
    assert main(["compare", str(path), str(path)]) == 2
    assert f"{path} is not a run" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.endswith("none.json: No such file or directory\n")


def test_runs_are_saved_by_machine_and_threads(run, monkeypatch):
    found = recorded(run, threads=2)
    found["machine"] |= {"cpu": "A(R) CPU @ 3 GHz", "cores": 8}
    found["machine"]["peers"]["fastconv"]["isa"] = "avx2"
    assert report.results_path(found).name == "a-r-cpu-3-ghz-8-cores-avx2-2-threads.json"
    assert report.results_path(found).parent.parent.name == "bench"


@pytest.mark.parametrize("arguments", [["conv"], ["--peers", "fastconv"]])
def test_only_whole_runs_are_saved(arguments, capsys):
    assert main(["--save", *arguments]) == 2
    assert "--save keeps whole runs" in capsys.readouterr().err


def test_readme_has_the_table_of_its_results():
    assert main(["table", "--check"]) == 0


def test_readme_table(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme, "CASES", [CONV, FILTER])
    monkeypatch.setattr(readme, "FEATURED", ["tiny_filter"])
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    path = tmp_path / "run.json"
    report.write_json(path, recorded(run))
    text = f"before\n<!-- python -m bench table: {path} -->\nold\n<!-- end of the table -->\nafter"
    readme.README.write_text(text)
    assert main(["table", "--check"]) == 1
    assert "run `python -m bench table`" in capsys.readouterr().out
    assert readme.README.read_text() == text
    assert main(["table"]) == main(["table", "--check"]) == 0
    before, _, about, _, _, _, row, _, after = readme.README.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert about.startswith("1 thread; ")
    assert row.startswith("| tiny_filter | filter2d 9x8, 3x3 | ")
    assert " Mpixel/s | " in row and " scipy | " in row


def test_readme_without_a_place_for_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    readme.README.write_text("nothing")
    assert main(["table"]) == 2
    assert "no comments to write the table between" in capsys.readouterr().err


def test_compare(run, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    found = recorded(run)
    report.write_json(old, found)
    conv, filtered, _ = found["rows"] = [dict(row) for row in found["rows"]]
    conv["of_peak"] *= 0.9
    filtered["ratio"] *= 0.96
    report.write_json(new, found)
    assert main(["compare", str(old), str(new)]) == 0
    filtered["ratio"] *= 0.96
    report.write_json(new, found)
    assert main(["compare", str(old), str(new)]) == 1
    line, total = capsys.readouterr().out.splitlines()[-2:]
    assert line.startswith("tiny_filter: ") and line.endswith("x best (scipy -> scipy)")
    assert total.startswith("1 of ")


@pytest.mark.parametrize(("ratio", "of_peak", "slower"), [
    (0.9, 0.9, True), (0.9, 1, False), (1, 0.9, False), (None, None, True),
])
def test_slower_beside_the_peer_and_the_peak(ratio, of_peak, slower):
    after = {"ratio": ratio, "of_peak": of_peak}
    assert compare.is_slower({"ratio": 1, "of_peak": 1}, after) == slower


def test_compare_refuses_other_threads(run, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    report.write_json(old, recorded(run))
    report.write_json(new, recorded(run, threads=2))
    assert main(["compare", str(old), str(new)]) == 2
    assert "the runs are of different kinds" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", [[0, 0, 0, 5], [0, 0.5, 1, 1.2, 3], [1, 4, 9], []])
def test_names_are_spread(wanted):
    places = plot.spread(wanted, 1)
    assert len(places) == len(wanted)
    assert sum(places) == pytest.approx(sum(wanted))
    assert all(right - left >= 1 - 1e-9 for left, right in pairwise(places))


def test_plot(run, tmp_path):
    pytest.importorskip("matplotlib")
    plot.draw({**recorded(run), "copy": {"memory": 20.0, "cache": 200.0}}, tmp_path / "run.svg")
    assert "<svg" in (tmp_path / "run.svg").read_text()


def test_plot_is_refused_in_time(monkeypatch, capsys):
    assert main(["pool", "--plot", "run.png"]) == 2
    assert "no convolution among the rows" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    assert main(["conv", "--plot", "run.png"]) == 2
    assert capsys.readouterr().err == (
        "bench: --plot needs matplotlib: python -m pip install matplotlib\n")


def test_copies_are_measured():
    assert worker.Session(None).copy(size=2**16, threads=2, seconds=0.001) > 0


def test_list(capsys):
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CASES)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupt_ends_cleanly():
    command = [sys.executable, "-m", "bench", "gaussian_1_f32", "--peers", "scipy",
               "--rounds", "1000"]
    process = subprocess.Popen(command, cwd=bench.ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()  # the workers are up
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "bench: interrupted\n"


def test_photographs(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("skimage")
    photos.make_photos(tmp_path / "photos", 2)
    paths = sorted(Path(tmp_path / "photos").iterdir())
    assert [path.name for path in paths] == ["0000.jpg", "0001.jpg"]
    for path in paths:
        with image.open(path) as picture:
            assert picture.size == (1920, 1080)
