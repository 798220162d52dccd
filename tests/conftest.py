"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.machines import Machine, bare_remote, from_fixture, from_schema


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A local bare repository."""
    return bare_remote(tmp_path / "remote.git")


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    """Make isolated machines: `machine("a")` empty, `machine("a", "ada-1.18.33")` from a fixture, `schema=` another version."""

    def make(name: str, fixture: str | None = None, *, schema: str = "1.18.33") -> Machine:
        return from_fixture(tmp_path / name, fixture) if fixture else from_schema(tmp_path / name, schema)

    return make
