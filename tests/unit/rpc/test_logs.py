"""The log is private, bounded, and quiet about what passes through."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = raising


def test_the_log_rotates_and_every_file_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    before = os.umask(0)
    try:
        logs.configure(tmp_path / "new" / "sidecar.log", "info")
        for index in range(300):
            logging.getLogger("x").info("line %d \udcff", index)
    finally:
        os.umask(before)
    files = sorted((tmp_path / "new").iterdir())
    assert len(files) == 1 + logs.BACKUPS
    if os.name == "posix":
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert "line 299" in (tmp_path / "new" / "sidecar.log").read_text()


def test_what_pygls_says_of_bodies_is_dropped(tmp_path: Path) -> None:
    logs.configure(tmp_path / "sidecar.log", "debug")
    logging.getLogger("pygls.protocol.json_rpc").error("Failed to handle request %s", {"token": "CANARY"})
    assert "CANARY" not in (tmp_path / "sidecar.log").read_text()


def test_without_a_log_file_nothing_reaches_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        logs.configure(tmp_path / "file" / "sidecar.log", "info")
    logging.getLogger("x").error("something")
    assert capfd.readouterr().err == ""


def test_incidents_do_not_overwrite_each_other(tmp_path: Path) -> None:
    names = {logs.record_incident(ValueError("x"), tmp_path) for _ in range(5)}
    assert len(names) == 5
    assert all("ValueError" in Path(name).read_text() for name in names)
