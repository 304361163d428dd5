"""The batch library: which files, under which names, with which pixels, and what never happens."""

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fastconv import batch, kernels, reference

SHARPEN = batch.parse_recipes("sharpen")


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.coffee()[:40, :60] if pixels is None else pixels).save(path)
    return path


def targets(tasks):
    return [path.as_posix() for task in tasks for _, path in task.outputs]


# Plans


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/b.png", "photos/a.jpg", "photos/deep/a.jpg", "photos/deep/er/C.TIFF",
                 "photos/.hidden.png", "photos/.cache/a.png"):
        save(tmp_path / name)
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path


def test_folder(tree):
    assert targets(batch.plan(["photos"], "out", SHARPEN)) == ["out/a.jpg", "out/b.png"]


def test_folder_with_its_subfolders(tree):
    assert targets(batch.plan(["photos"], "out", SHARPEN, recursive=True)) == [
        "out/a.jpg", "out/b.png", "out/deep/a.jpg", "out/deep/er/C.TIFF"]


def test_patterns_keep_the_tree_below_their_fixed_part(tree):
    assert targets(batch.plan(["photos/**/*.jpg"], "out", SHARPEN)) == [
        "out/a.jpg", "out/deep/a.jpg"]
    assert targets(batch.plan(["*/deep/*/*"], "out", SHARPEN)) == ["out/photos/deep/er/C.TIFF"]


def test_files(tree):
    assert targets(batch.plan(["photos/deep/a.jpg", "photos/b.png"], "out", SHARPEN)) == [
        "out/a.jpg", "out/b.png"]


def test_a_file_whose_name_looks_like_a_pattern(tree):
    save(tree / "a[1].png")
    assert targets(batch.plan(["a[1].png"], "out", SHARPEN)) == ["out/a[1].png"]


def test_suffix(tree):
    assert targets(batch.plan(["photos"], "out", SHARPEN, suffix=".webp")) == [
        "out/a.webp", "out/b.webp"]


def test_suffix_is_added_where_there_is_none(tree):
    save(tree / "scan.png").rename(tree / "scan.2026-11-22")
    assert targets(batch.plan(["scan.2026-11-22"], "out", SHARPEN, suffix=".png")) == [
        "out/scan.2026-11-22.png"]


def test_several_kernels_have_a_folder_each(tree):
    recipes = batch.parse_recipes("sharpen,gaussian:sigma=2")
    assert targets(batch.plan(["photos/b.png"], "out", recipes)) == [
        "out/sharpen/b.png", "out/gaussian-sigma=2/b.png"]


def test_the_same_file_twice_is_one_task(tree):
    assert len(batch.plan(["photos/a.jpg", "photos", "photos/a.jpg"], "out", SHARPEN)) == 2


def test_output_folder_inside_the_input_is_not_walked(tree):
    save(tree / "photos/out/old.png")
    tasks = batch.plan(["photos"], "photos/out", SHARPEN, recursive=True)
    assert not any("old" in path for path in targets(tasks))


def test_output_folder_inside_a_pattern_is_not_matched(tree):
    save(tree / "photos/out/old.jpg")
    tasks = batch.plan(["photos/**/*.jpg"], "photos/out", SHARPEN)
    assert targets(tasks) == ["photos/out/a.jpg", "photos/out/deep/a.jpg"]
    assert targets(batch.plan(["photos/**/*.jpg"], ".", SHARPEN))[1] == "deep/a.jpg"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_link_loops_end(tree):
    os.symlink(tree / "photos", tree / "photos/deep/loop")
    assert len(batch.plan(["photos"], "out", SHARPEN, recursive=True)) == 4


@pytest.mark.parametrize("inputs, options, message", [
    (["photos/a.jpg", "photos/deep/a.jpg"], {}, "both become out.a.jpg"),
    (["photos", "photos/deep"], {}, "both become out.a.jpg"),
    (["photos/b.png", "B.PNG"], {}, "upper and lower case"),
    (["b.jpg", "photos/b.png"], {"suffix": ".tiff"}, "both become out.b.tiff"),
])
def test_collisions(tree, inputs, options, message):
    save(tree / "B.PNG")
    save(tree / "b.jpg")
    with pytest.raises(batch.PlanError, match=message):
        batch.plan(inputs, "out", SHARPEN, existing="overwrite", **options)


@pytest.mark.skipif(sys.platform != "linux", reason="one file to other systems")
def test_names_of_one_unicode_form_collide(tree):
    for name in ("\u00e9.png", "e\u0301.png"):
        save(tree / name)
    with pytest.raises(batch.PlanError, match="case, and Unicode forms, count as equal"):
        batch.plan(["\u00e9.png", "e\u0301.png"], "out", SHARPEN)


@pytest.mark.parametrize("inputs, outdir, message", [
    (["photos/a.jpg"], "photos", "is an input"),
    (["photos"], "photos", "is an input"),
    (["missing.png"], "out", "no such file or folder: missing.png"),
    (["*.gif"], "out", r"no images match \*.gif"),
    (["empty"], "out", "no images found in empty"),
    (["photos"], "photos/b.png", "is a file"),
])
def test_what_does_not_start(tree, inputs, outdir, message):
    (tree / "empty").mkdir()
    with pytest.raises(batch.PlanError, match=message):
        batch.plan(inputs, outdir, SHARPEN, existing="overwrite")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_what_is_neither_file_nor_folder(tree):
    os.mkfifo(tree / "pipe.png")
    os.mkfifo(tree / "photos/pipe.png")
    with pytest.raises(batch.PlanError, match="neither"):
        batch.plan(["pipe.png"], "out", SHARPEN)
    assert len(batch.plan(["photos"], "out", SHARPEN)) == 2


def test_existing_outputs(tree):
    save(tree / "out/a.jpg")
    save(tree / "out/deep/a.jpg")
    arguments = (["photos"], "out", SHARPEN)
    with pytest.raises(batch.PlanError, match="and 1 more exist already; --overwrite"):
        batch.plan(*arguments, recursive=True)
    skipping = batch.plan(*arguments, recursive=True, existing="skip")
    assert targets(skipping) == ["out/b.png", "out/deep/er/C.TIFF"]
    assert len(batch.plan(*arguments, recursive=True, existing="overwrite")) == 4


def test_what_is_hidden_is_counted(tree):
    save(tree / "photos/deep/.other.jpg")
    (tree / "photos/.notes.txt").write_text("no image")
    for recursive, hidden in ((False, 1), (True, 3)):
        plan = batch.plan(["photos"], "out", SHARPEN, recursive=recursive)
        assert plan.hidden == hidden
    assert batch.plan(["photos"], "out", SHARPEN, recursive=True, existing="skip").hidden == 3
    (tree / "only").mkdir()
    save(tree / "only/.a.png")
    with pytest.raises(batch.PlanError, match="no images found in only, 1 hidden passed over"):
        batch.plan(["only"], "out", SHARPEN)


# Runs


def test_a_folder_that_cannot_be_made(tree):
    (tree / "file").write_text("in the way")
    tasks = batch.plan(["photos"], "file/out", SHARPEN)
    with pytest.raises(batch.PlanError, match=r"cannot make the folder file.out: "):
        batch.prepare(tasks, "file/out")


def test_what_a_killed_run_left_is_removed(tree):
    (tree / "out/deep").mkdir(parents=True)
    (tree / "out/elsewhere").mkdir()
    stale = [tree / "out/.fastconv-0.tmp", tree / "out/deep/.fastconv-1.tmp"]
    kept = [tree / "out/.fastconv-young.tmp", tree / "out/.fastconv-old", tree / "out/mine.tmp",
            tree / "out/elsewhere/.fastconv-0.tmp"]
    for path in stale + kept:
        path.write_bytes(b"partial")
        os.utime(path, (1e9, 1e9))
    os.utime(kept[0])
    batch.prepare(batch.plan(["photos"], "out", SHARPEN, recursive=True), "out")
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in kept)


def test_run_reports_each_file_and_goes_on(tree):
    (tree / "photos/cut.jpg").write_bytes((tree / "photos/a.jpg").read_bytes()[:500])
    (tree / "photos/text.png").write_text("hello")
    results = list(batch.run(batch.plan(["photos"], "out", SHARPEN)))
    errors = {result.source.name: result.error for result in results}
    assert errors["a.jpg"] is None and errors["b.png"] is None
    assert "truncated" in errors["cut.jpg"].lower()
    assert errors["text.png"] == "not a PNG, JPEG, TIFF, WebP or BMP image"
    assert sorted(os.listdir(tree / "out")) == ["a.jpg", "b.png"]


def test_run_writes_what_the_reference_computes(tree):
    list(batch.run(batch.plan(["photos/b.png"], "out", batch.parse_recipes("emboss,sobel_y"))))
    for name in ("emboss", "sobel_y"):
        with Image.open(tree / "out" / name / "b.png") as image:
            expected = reference.filter2d(data.coffee()[:40, :60], kernels.get(name),
                                          channel_axis=-1)
            assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("jobs, threads", [(1, 1), (2, 3), (5, 1)])
def test_bits_do_not_depend_on_jobs(tree, jobs, threads):
    tasks = batch.plan(["photos"], "out", SHARPEN, recursive=True)
    sharpened = reference.filter2d(data.coffee()[:40, :60], kernels.get("sharpen"), channel_axis=-1)
    assert [r.error for r in batch.run(tasks, jobs=jobs, threads=threads)] == [None] * 4
    with Image.open("out/deep/er/C.TIFF") as image:
        assert np.array_equal(np.asarray(image), sharpened)


def test_stop(tmp_path):
    for i in range(50):
        save(tmp_path / f"in/{i:02}.png")
    stop = threading.Event()
    results = []
    tasks = batch.plan([tmp_path / "in"], tmp_path / "out", SHARPEN)
    for result in batch.run(tasks, jobs=2, stop=stop):
        results.append(result)
        stop.set()
    assert len(results) < 10
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == sorted(r.source.name for r in results)


def test_patience_ends(tmp_path):
    held, start = threading.Event(), threading.Event()

    class Slow:
        label = "slow"

        def apply(self, picture, threads):
            start.set()
            held.wait()
            return picture

    save(tmp_path / "a.png")
    stop = threading.Event()
    run = batch.run(batch.plan([tmp_path / "a.png"], tmp_path / "out", [Slow()]), stop=stop,
                    patience=0)
    threading.Thread(target=lambda: start.wait() and stop.set()).start()
    assert list(run) == []
    assert batch.is_running()
    held.set()
    for thread in threading.enumerate():
        if thread.name.startswith("fastconv-batch"):
            thread.join()
    assert not batch.is_running()


def test_closing_the_generator_stops_the_run(tmp_path):
    for i in range(50):
        save(tmp_path / f"in/{i:02}.png")
    run = batch.run(batch.plan([tmp_path / "in"], tmp_path / "out", SHARPEN), jobs=2)
    next(run)
    run.close()
    assert len(list((tmp_path / "out").iterdir())) < 10
    assert not any(thread.name.startswith("fastconv-batch") for thread in threading.enumerate())


def test_an_output_that_cannot_be_written_is_named(tree):
    (tree / "out").mkdir()
    (tree / "out/deep").write_text("in the way")
    save(tree / "photos/clear.png", data.logo()[:40, :60])
    tasks = batch.plan(["photos"], "out", SHARPEN, recursive=True, suffix=".jpg")
    errors = {result.source.as_posix(): result.error for result in batch.run(tasks)}
    assert errors["photos/deep/a.jpg"].startswith(f"cannot write {Path('out/deep/a.jpg')}: ")
    assert errors["photos/clear.png"] == (
        f"cannot write {Path('out/clear.jpg')}: JPEG cannot hold transparency; use --format png")
    assert {name for name, error in errors.items() if error is None} == {
        "photos/a.jpg", "photos/b.png"}


def test_nothing_to_do():
    assert list(batch.run([])) == []
