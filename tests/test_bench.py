"""The frame of the benchmark, on tiny rows; the peers other than SciPy are not needed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

bench = pytest.importorskip("bench", reason="bench/ is not beside tests/: not a checkout")

from bench import answers, photos, report, runner, worker  # noqa: E402
from bench.__main__ import main  # noqa: E402
from bench.cases import CASES, Case, select  # noqa: E402

CONV = Case("tiny_conv", "conv", "conv2d", (1, 2, 6, 5), "GFLOP/s", 1e-6, (3, 2, 3, 3),
            arguments={"stride": 1, "padding": 1, "dilation": 1, "groups": 1,
                       "layout": "NCHW"})
CONV_F64 = replace(CONV, name="tiny_f64", dtype="float64")
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


@pytest.mark.parametrize("case", [CONV, CONV_F64, FILTER, FILTER_U8, POOL],
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
    report.write_json(path, {"machine": report.machine(run["greetings"]), "rows": run["rows"]})
    content = json.loads(path.read_text())
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
    _, error = process.communicate(timeout=20)
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
