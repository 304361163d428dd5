"""A contact sheet: pictures in a grid, each with a title and a caption, on a dark ground."""

from typing import NamedTuple

import numpy as np

_GROUND = (22, 24, 29)
_HEADLINE, _BRIGHT, _SOFT = (246, 134, 40), (240, 240, 240), (165, 171, 183)
_MARGIN, _LABEL, _HEADING = 26, 36, 66  # pixels
# Responses with a sign, from least to greatest; 0 is the ground.
_TINTS = ((205, 235, 255), (58, 134, 240), _GROUND, (246, 134, 40), (255, 240, 200))


class Panel(NamedTuple):
    """A picture, uint8 (H, W, 3), and what is written below it."""

    title: str
    caption: str
    picture: np.ndarray


def tint(response, limit=None):
    """Colour a response (H, W): negative blue, positive orange, 0 dark.

    `limit` is the value that gets the brightest colour, the 99th percentile of the absolute
    values unless given.
    """
    limit = np.percentile(np.abs(response), 99) if limit is None else limit
    levels = np.linspace(-1, 1, len(_TINTS))
    channels = [np.interp(response / limit, levels, values)
                for values in zip(*_TINTS, strict=True)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def tile(pictures, shape, gap=6):
    """Put four pictures (h, w, 3) into one of this shape (H, W, 3), two by two."""
    from PIL import Image

    height, width = (shape[0] - gap) // 2, (shape[1] - gap) // 2
    whole = np.full(shape, _GROUND, np.uint8)
    for i, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        top, left = i // 2 * (height + gap), i % 2 * (width + gap)
        whole[top:top + height, left:left + width] = small
    return whole


def draw_sheet(sections, path, columns=3):
    """Write a PNG file of sections, each a heading and its panels, all of equal size."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = sections[0][1][0].picture.shape[:2]
    step_x, step_y = width + _MARGIN, height + _LABEL + _MARGIN
    rows = sum(-(-len(panels) // columns) for _, panels in sections)
    size = (columns * step_x + _MARGIN, rows * step_y + len(sections) * _HEADING + _MARGIN // 2)
    sheet = Image.new("RGB", size, _GROUND)
    draw = ImageDraw.Draw(sheet)
    fonts = {points: ImageFont.load_default(points) for points in (20, 26, 32)}

    def write(x, y, text, colour, points, anchor="ls"):
        draw.text((x, y), text, colour, fonts[points], anchor)
        return x + draw.textlength(text + "  ", fonts[points])

    right = _MARGIN + 2 * step_x + width
    write(right, 44, "blue: negative, dark: 0, orange: positive", _SOFT, 20, "rs")
    y = 0
    for heading, panels in sections:
        write(_MARGIN, y + 44, heading, _HEADLINE, 32)
        y += _HEADING
        for i, panel in enumerate(panels):
            x, top = _MARGIN + i % columns * step_x, y + i // columns * step_y
            sheet.paste(Image.fromarray(panel.picture), (x, top))
            after = write(x, top + height + 32, panel.title, _BRIGHT, 26)
            write(after, top + height + 32, panel.caption, _SOFT, 20)
        y += -(-len(panels) // columns) * step_y
    sheet.save(path, "PNG")
