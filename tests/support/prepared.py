"""What many tests begin with, made once and copied for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Prepared(Generic[T]):
    """`make` is given an empty folder and a kind. The folder's name is the same each time, so that copies of it work in its place."""

    def __init__(self, folder: Path, make: Callable[[Path, str], T]) -> None:
        self._folder, self._make, self._made = folder, make, dict[str, T]()

    def fresh(self, kind: str) -> T:
        here, kept = self._folder / "now", self._folder / f"kept-{kind}"
        shutil.rmtree(here, ignore_errors=True)
        if kind in self._made:
            shutil.copytree(kept, here, symlinks=True)
        else:
            here.mkdir()
            self._made[kind] = self._make(here, kind)
            shutil.copytree(here, kept, symlinks=True)
        return self._made[kind]
