"""Reading and writing one image: what survives, what is refused, what is never cut in silence."""

import os
import sys
import threading

import numpy as np
import pytest
import tifffile
from image_files import values, write_png
from PIL import Image
from skimage import data

from fastconv import _files, images

ORIENTATION = 0x0112


@pytest.fixture
def photo():
    return data.coffee()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("pixels", [data.coffee(), data.camera(), data.coffee()[:7, :5]],
                         ids=["colour", "grey", "tiny"])
def test_lossless_formats_keep_every_pixel(tmp_path, pixels, suffix):
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    Image.fromarray(pixels).save(source)
    picture = images.read(source)
    assert np.array_equal(values(picture), pixels)
    images.write(picture, target)
    assert np.array_equal(np.asarray(Image.open(target)), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, target.name]


@pytest.mark.parametrize("pixels", [data.coffee(), data.camera()], ids=["colour", "grey"])
def test_jpeg_is_written_as_pillow_writes_it(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "source.jpg", quality=90)
    with Image.open(tmp_path / "source.jpg") as image:
        decoded = np.asarray(image)
    picture = images.read(tmp_path / "source.jpg")
    assert np.array_equal(values(picture), decoded)
    images.write(picture, tmp_path / "ours.jpg")
    Image.fromarray(decoded).save(tmp_path / "pillow.jpg", quality=95)
    assert (tmp_path / "ours.jpg").read_bytes() == (tmp_path / "pillow.jpg").read_bytes()


def test_quality_and_subsampling(tmp_path, photo):
    from PIL import JpegImagePlugin

    Image.fromarray(photo).save(tmp_path / "fine.jpg", subsampling="4:4:4")
    picture = images.read(tmp_path / "fine.jpg")
    sizes = []
    for quality in (50, 95):
        images.write(picture, tmp_path / "out.jpg", quality)
        sizes.append((tmp_path / "out.jpg").stat().st_size)
        with Image.open(tmp_path / "out.jpg") as image:
            assert JpegImagePlugin.get_sampling(image) == 0
    assert sizes[0] < sizes[1] / 2


def test_the_content_decides_not_the_name(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "really.tif")
    (tmp_path / "really.tif").rename(tmp_path / "named.png")
    assert np.array_equal(values(images.read(tmp_path / "named.png")), photo)


def test_images_beyond_one_pillow_block(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2200, 2000, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.bmp")  # 17.6 MB in Pillow, a block is 16 MB
    picture = images.read(tmp_path / "large.bmp")
    assert np.array_equal(values(picture), pixels)
    images.write(picture, tmp_path / "out.bmp")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.bmp")), pixels)


def test_lent_memory_outlives_its_image(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    pictures = [images.read(tmp_path / "photo.png") for _ in range(20)]
    assert all(np.array_equal(values(picture), photo) for picture in pictures)


# 16 bits: TIFF has its own file, test_tiff.py


def test_16_bit_grey_png_stays_16_bit(tmp_path):
    pixels = (data.camera().astype(np.uint16) * 257)[:101, :99]
    write_png(tmp_path / "deep.png", pixels, colour_type=0)
    picture = images.read(tmp_path / "deep.png")
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, pixels)
    images.write(picture, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[24] == 16
    assert np.array_equal(images.read(tmp_path / "out.png").pixels, pixels)


@pytest.mark.parametrize("colour_type, channels", [(2, 3), (6, 4), (4, 2)])
def test_16_bit_colour_png_is_refused(tmp_path, colour_type, channels):
    pixels = np.full((4, 5, channels), 12345, np.uint16)
    write_png(tmp_path / "deep.png", pixels, colour_type)
    with pytest.raises(images.ImageError, match="16-bit TIFF"):
        images.read(tmp_path / "deep.png")


# Metadata


def turned(pixels, orientation):
    """What a viewer shows of stored pixels, by the EXIF standard's table of row 0 and column 0."""
    flips = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
             5: lambda a: np.swapaxes(a, 0, 1), 6: lambda a: np.rot90(a, -1),
             7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1), 8: np.rot90}
    return flips[orientation](pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("grey", [False, True])
def test_orientation_is_applied_and_reset(tmp_path, photo, orientation, suffix, grey):
    pixels = photo[:20, :30, 0] if grey else photo[:20, :30]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / f"in{suffix}", exif=exif)
    picture = images.read(tmp_path / f"in{suffix}")
    assert np.array_equal(values(picture), turned(pixels, orientation))
    images.write(picture, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert np.array_equal(np.asarray(image), turned(pixels, orientation))


def test_exif_is_kept_without_orientation_and_thumbnail(tmp_path, photo):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:22 10:00:00"
    Image.fromarray(photo).save(tmp_path / "in.jpg", exif=exif)
    images.write(images.read(tmp_path / "in.jpg"), tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (400, 600)
        kept = image.getexif()
        assert (kept[ORIENTATION], kept[0x010F]) == (1, "Maker")
        assert kept.get_ifd(0x8769)[0x9003] == "2026:11:22 10:00:00"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_photo(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "in.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert values(images.read(tmp_path / "in.jpg")).shape == photo.shape


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_colour_profile_and_resolution_are_kept(tmp_path, photo, suffix):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo).save(tmp_path / f"in{suffix}", icc_profile=profile, dpi=(300, 300))
    images.write(images.read(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["icc_profile"] == profile
        if suffix != ".webp":  # has no place for a resolution
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_jpeg_comments_are_kept(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "in.jpg", comment="a café".encode())
    images.write(images.read(tmp_path / "in.jpg"), tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.info["comment"] == "a café".encode()


def test_png_text_is_kept(tmp_path, photo):
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Zoé")
    text.add_text("Title", "Кофе")
    text.add_text("Long", "x" * 9999, zip=True)
    text.add_itxt("Note", "日本語", lang="ja", tkey="覚え書き")
    text.add_text("Raw profile type exif", "0")
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    Image.fromarray(photo).save(tmp_path / "in.png", pnginfo=text)
    images.write(images.read(tmp_path / "in.png"), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == {
            "Author": "Zoé", "Title": "Кофе", "Long": "x" * 9999, "Note": "日本語",
        }  # fmt: skip
        assert (image.text["Note"].lang, image.text["Note"].tkey) == ("ja", "覚え書き")
    images.write(images.read(tmp_path / "in.png"), tmp_path / "out.jpg")


# Kinds of pixels


@pytest.mark.parametrize("mode, suffix", [
    ("RGBA", ".png"), ("LA", ".png"), ("RGBA", ".tif"), ("RGBA", ".webp"),
])
def test_alpha_is_kept(tmp_path, mode, suffix):
    opacity = data.camera()[:400, :]
    image = Image.fromarray(np.dstack([data.coffee()[:, :512], opacity])).convert(mode)
    image.save(tmp_path / f"in{suffix}", lossless=True)
    picture = images.read(tmp_path / f"in{suffix}")
    assert picture.alpha
    images.write(picture, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert written.mode == mode
        assert np.array_equal(np.asarray(written)[..., -1], opacity)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_not_dropped(tmp_path, suffix):
    Image.fromarray(data.logo()).save(tmp_path / "in.png")
    with pytest.raises(images.ImageError, match="transparency"):
        images.write(images.read(tmp_path / "in.png"), tmp_path / f"out{suffix}")
    assert not (tmp_path / f"out{suffix}").exists()


def test_palette_becomes_colours(tmp_path, photo):
    image = Image.fromarray(photo).quantize(32)
    image.save(tmp_path / "in.png")
    picture = images.read(tmp_path / "in.png")
    assert np.array_equal(values(picture), np.asarray(image.convert("RGB")))


def test_transparent_palette_and_key_become_alpha(tmp_path, photo):
    Image.fromarray(photo).quantize(32).save(tmp_path / "palette.png", transparency=3)
    Image.fromarray(photo).save(tmp_path / "key.png", transparency=tuple(photo[0, 0].tolist()))
    for name in ("palette.png", "key.png"):
        picture = images.read(tmp_path / name)
        assert picture.alpha and picture.pixels.shape == (*photo.shape[:2], 4)
    assert picture.pixels[0, 0, 3] == 0


def test_bilevel_becomes_grey(tmp_path):
    pixels = data.horse()
    Image.fromarray(pixels).save(tmp_path / "in.png")
    assert np.array_equal(images.read(tmp_path / "in.png").pixels, pixels * np.uint8(255))


def test_lossless_webp_stays_lossless(tmp_path, photo):
    for name, options in (("plain", {}), ("extended", {"icc_profile": b"profile"})):
        source, target = tmp_path / f"{name}.webp", tmp_path / f"{name}-out.webp"
        Image.fromarray(photo).save(source, lossless=True, **options)
        images.write(images.read(source), target)
        assert np.array_equal(np.asarray(Image.open(target)), photo)
    Image.fromarray(photo).save(tmp_path / "lossy.webp")
    assert not images.read(tmp_path / "lossy.webp").lossless


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("profile", [None, b"damaged"])
def test_cmyk_becomes_rgb(tmp_path, photo, suffix, profile):
    cmyk = Image.fromarray(photo).convert("CMYK")
    cmyk.save(tmp_path / f"in{suffix}", icc_profile=profile)
    picture = images.read(tmp_path / f"in{suffix}")
    assert (picture.colours, picture.alpha, picture.icc) == (3, False, None)
    with Image.open(tmp_path / f"in{suffix}") as image:
        assert image.mode == "CMYK"
        assert np.array_equal(values(picture), np.asarray(image.convert("RGB")))
    assert abs(values(picture).astype(int) - photo).mean() < 4
    images.write(picture, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.mode == "RGB"


def test_the_profile_of_cmyk_is_applied(tmp_path, photo, monkeypatch):
    from PIL import ImageCms

    def convert(image, source, target, outputMode):
        assert (image.mode, source.tobytes(), outputMode) == ("CMYK", profile, "RGB")
        assert ImageCms.getProfileDescription(target).startswith("sRGB")
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "in.jpg", icc_profile=profile)
    assert (values(images.read(tmp_path / "in.jpg")) == (1, 2, 3)).all()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_several_pictures_in_a_file_are_refused(tmp_path, photo, suffix):
    frames = [Image.fromarray(photo[:50, :50]), Image.fromarray(photo[50:100, :50])]
    frames[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(images.ImageError, match="has 2"):
        images.read(tmp_path / f"in{suffix}")


# Trouble


def test_truncated_jpeg(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(images.ImageError, match="truncated"):
        images.read(tmp_path / "cut.jpg")


@pytest.mark.parametrize("content", [b"", b"hello, I am a text", b"\x89PNG\r\n\x1a\n", b"II*\0"])
def test_what_is_no_image(tmp_path, content):
    (tmp_path / "note.png").write_bytes(content)
    with pytest.raises(Exception) as caught:
        images.read(tmp_path / "note.png")
    assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"RIFF____WAVEfmt ", "not a PNG"), (b"RIFF____WEBPVP8 ", "damaged"), (b"BM____", "damaged")],
)
def test_the_first_bytes_tell_damage_from_another_format(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(images.ImageError, match=f"^{message}"):
        images.read(tmp_path / "a.png")


def test_decompression_bombs(tmp_path, monkeypatch, photo):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(photo).save(tmp_path / "twice.png")
    Image.fromarray(photo[:40, :40]).save(tmp_path / "more.png")
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((40, 40), np.uint16))
    for name in ("twice.png", "more.png", "deep.tif"):
        with pytest.raises(images.ImageError, match="bomb"):
            images.read(tmp_path / name)


@pytest.mark.parametrize("name, message", [
    ("a.png", "float32 pixels; use --format tiff"), ("a.xyz", "'.xyz'"), ("a", "''"),
])
def test_what_cannot_be_written(tmp_path, name, message):
    picture = images.Picture(np.zeros((4, 5), np.float32), 1)
    with pytest.raises(images.ImageError, match=message):
        images.write(picture, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_failed_writing_leaves_the_old_file(tmp_path):
    (tmp_path / "a.webp").write_bytes(b"old")
    picture = images.Picture(np.zeros((1, 20000), np.uint8), 1)  # wider than WebP can hold
    with pytest.raises(ValueError):
        images.write(picture, tmp_path / "a.webp")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
def test_files_being_written_are_not_stale(tmp_path):
    with _files.replacing(tmp_path / "a.png") as file:
        os.utime(file.name, (1e9, 1e9))
        _files.remove_stale(tmp_path)
        assert os.path.exists(file.name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
def test_partial_files_are_discarded(tmp_path):
    with pytest.raises(FileNotFoundError), _files.replacing(tmp_path / "a.png"):
        _files.discard_partial()
        assert not list(tmp_path.iterdir())


def test_new_files_have_ordinary_permissions(tmp_path):
    images.write(images.Picture(np.zeros((4, 5), np.uint8), 1), tmp_path / "a.png")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_many_threads_may_read_at_once(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    same = []
    threads = [
        threading.Thread(target=lambda: same.append(
            np.array_equal(values(images.read(tmp_path / "photo.png")), photo)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 8
