"""Batch files on Windows. Pure.

Windows runs `.bat` and `.cmd` through cmd.exe whoever starts them, and cmd.exe reads the arguments once more by rules of its own: what is one
argument to us may be a command to it. No quoting is safe for all of it, so what could be misread is refused in words.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

_MISREAD = '"%!^&|<>\r\n'


def is_batch(program: str) -> bool:
    """By its suffix, as Windows tells; blanks and dots at the end do not count there."""
    return os.path.splitext(program.rstrip(" ."))[1].lower() in (".bat", ".cmd")


def problem(program: str, argv: Sequence[str], *, windows: bool) -> str | None:
    """Why these arguments may not be given to this program, or None."""
    if not windows or not is_batch(program):
        return None
    for argument in argv[1:]:
        found = next((char for char in argument if char in _MISREAD), None)
        if found is not None:
            return f"cmd.exe would misread the character {found!r} in an argument"
    return None
