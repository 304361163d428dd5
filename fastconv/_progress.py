"""What a long run shows while it goes on."""

import re
import shutil
import sys


class Line:
    """One line on standard error, rewritten in place, and only on a terminal."""

    def __init__(self):
        self.width = shutil.get_terminal_size().columns - 1 if sys.stderr.isatty() else 0

    def write(self, text):
        """Show this instead of what was there."""
        if self.width:
            line = text[: self.width].ljust(self.width)
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    def clear(self):
        """Leave the line to others."""
        if self.width:
            self.write("")
            print(end="\r", file=sys.stderr, flush=True)


def visible(text):
    """Text, such as a file's name, in one line that does nothing to a terminal."""
    # control characters, ends of lines, changes of direction, bytes that are no text
    return re.sub(
        "[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda match: match[0].encode("unicode_escape").decode(), text,
    )  # fmt: skip


def clock(seconds):
    """Give a time in words: "3.2 s", "1:05", "2:00:01"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
