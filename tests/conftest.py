"""Shared fixtures."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.machines import Machine, bare_remote, from_fixture, from_schema

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")  # how long an example takes says how busy the machine is

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does this to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so the programs under test would ignore it, too
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # and nohup this
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
