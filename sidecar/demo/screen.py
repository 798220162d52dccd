"""What the demo prints: colours on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_COLOURS = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36"}


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def prepare() -> None:
    """Any text can be printed, whatever the terminal's encoding."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def chapter(text: str) -> None:
    print(f"\n{_paint('── ' + text + ' ', 'bold')}{_paint('─' * max(0, 90 - len(text)), 'dim')}", flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def command(machine: str, text: str) -> None:
    print(f"{_paint(machine + ' $', 'cyan')} {_paint(text, 'bold')}", flush=True)


def good(text: str) -> None:
    print(_paint(f"✅ {text}", "green"), flush=True)


def bad(text: str) -> None:
    print(_paint(f"❌ {text}", "red"), flush=True)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], widths: tuple[int, ...]) -> None:
    print(_paint(_line(head, widths), "dim"))
    for row in rows:
        print(_line(row, widths))
    sys.stdout.flush()


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    cut = (cell if len(cell) <= width else cell[: width - 1] + "…" for cell, width in zip(cells, widths, strict=True))
    return "  " + "  ".join(cell.ljust(width) for cell, width in zip(cut, widths, strict=True)).rstrip()
