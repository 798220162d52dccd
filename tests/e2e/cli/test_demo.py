"""`make demo` and `opencode-sidecar demo` prove what they show."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.demo import data, proof
from tests.support.machines import Machine

Make = Callable[..., Machine]


def environ(tmp_path: Path) -> dict[str, str]:
    return Machine(tmp_path / "m").environ | {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}


def test_the_demo_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar.demo"], env=environ(tmp_path), capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal" in done.stdout
    assert "\x1b[" not in done.stdout, "colours without a terminal"
    assert not list(tmp_path.glob("opencode-sidecar-demo-*"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("delay", [0.5, 2.0])
def test_stopping_the_demo_takes_everything_along(tmp_path: Path, delay: float) -> None:
    process = subprocess.Popen([sys.executable, "-m", "sidecar", "demo"], env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert "Traceback" not in out
    assert not list(tmp_path.glob("opencode-sidecar-demo-*"))


def test_the_proof_notices_every_kind_of_difference(machine: Make) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "ada-1.18.33")
    same = proof.rows(a.db, a.root)
    assert proof.differences(same, proof.rows(b.db, b.root)) == []
    (session,) = b.sql("SELECT id FROM session WHERE title='Title: Plan A1'")[0]
    b.sql("UPDATE session SET title='x' WHERE id=?", session)
    b.sql("DELETE FROM part WHERE id=(SELECT max(id) FROM part)")
    a.sql("INSERT INTO todo (session_id, content, status, priority, position, time_created, time_updated) VALUES (?,'a','b','c',9,1,1)", session)
    found = proof.differences(proof.rows(a.db, a.root), proof.rows(b.db, b.root))
    assert len(found) == 3
    assert any(line.endswith("differs in title") for line in found)


def test_the_demos_data_is_never_dated_after_this_machines_clock(tmp_path: Path) -> None:
    db = tmp_path / "x.db"
    data.unpack("ada", db)
    data.settle_in(db, tmp_path, {"code/app": "1" * 40, "code/lib": "2" * 40}, newest_ago_ms=data.HOUR_MS)
    connection = sqlite3.connect(db)
    newest = max(connection.execute(f"SELECT max(time_updated) FROM {table}").fetchone()[0] for table in ("session", "message", "part"))
    created = "SELECT max(abs(json_extract(data, '$.time.created') - time_created)) FROM message"
    assert connection.execute(created).fetchone()[0] < 1000, "columns and JSON must tell the same time"
    connection.close()
    assert abs(time.time() * 1000 - data.HOUR_MS - newest) < 60_000
