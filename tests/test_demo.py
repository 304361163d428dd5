"""The demo: every step agrees with its reference, the sheet is a picture, the table is whole."""

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import _sheet, cli, demo, filters, reference


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_REPEATS", 1)
    return tmp_path


def test_demo(here, capsys):
    assert cli.main(["demo"]) == 0
    out = capsys.readouterr().out
    *table, last = out.splitlines()
    assert last == f"contact sheet: {here / 'fastconv-demo.png'}"
    assert len(table) == 1 + 8 + 3
    assert len({len(line) for line in table}) == 1
    with Image.open("fastconv-demo.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape[1] > 1500 and sheet.std() > 30
    assert cli.main(["demo"]) == 2
    assert "fastconv-demo.png exists already; --overwrite replaces it" in capsys.readouterr().err
    assert cli.main(["demo", "--overwrite"]) == 0


def test_steps_agree_with_the_reference(here, monkeypatch):
    checked = []
    original = demo._timed

    def timed(steps, title, name, *arguments, **options):
        result = original(steps, title, name, *arguments, **options)
        *_, function = name.split(".")
        expected = getattr(reference, function)(*arguments, **options)
        tolerance = 1 if result.dtype == np.uint8 else 1e-3
        assert abs(result.astype(float) - expected).max() <= tolerance
        assert getattr(filters, function, None) or getattr(fastconv, function)
        checked.append(title)
        return result

    monkeypatch.setattr(demo, "_timed", timed)
    _, steps = demo.run("sheet.png")
    assert checked == [step.name for step in steps]
    assert all(step.fastconv > 0 and step.reference > 0 for step in steps)


def test_a_photo_of_yours_is_not_replaced(here, capsys):
    (here / "mine.png").write_bytes(b"mine")
    assert cli.main(["demo", "-o", "mine.png"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (here / "mine.png").read_bytes() == b"mine"
    assert cli.main(["demo", "-o", "mine.png", "--overwrite"]) == 0
    assert (here / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_the_sheet_is_a_png(here, capsys):
    assert cli.main(["demo", "-o", "sheet.jpg"]) == 2
    assert ".png" in capsys.readouterr().err
    assert cli.main(["demo", "-o", "nowhere/sheet.png"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_tints_show_the_sign():
    colours = _sheet.tint(np.array([[-1.0, 0.0, 1.0]]), limit=1).astype(int)
    red, _, blue = np.moveaxis(colours, -1, 0)
    assert blue[0, 0] > red[0, 0] and red[0, 2] > blue[0, 2]
    assert colours[0, 1].max() < 40
