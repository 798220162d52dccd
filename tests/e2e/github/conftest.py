"""Machines whose users have the real gh; GitHub itself is a stand-in on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.github import REAL_GH, GitHub, OnGitHub, on


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[GitHub]:
    if REAL_GH is None:
        pytest.skip("gh is not installed: nothing that goes through it is tested")
    made = GitHub(tmp_path / "github")
    yield made
    made.close()


@pytest.fixture
def a(tmp_path: Path, hub: GitHub) -> OnGitHub:
    return on(tmp_path, hub, "a")
