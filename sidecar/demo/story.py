"""What the demo shows, step by step."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sidecar.demo import proof, screen
from sidecar.demo.data import HOUR_MS
from sidecar.demo.machine import Failed, Machine, Stopped, make_upstream

SHARED, DELETED = "Multi turn A1", "Title: Keep B11"
NEW_TITLE, NEW_TURN = "Release plan (renamed on the laptop)", "Continued on the desktop: and now the changelog, please."


def tell(*, keep: bool, cancelled: threading.Event) -> int:
    """Returns the exit status."""
    began = time.monotonic()
    screen.prepare()
    with _folder(keep=keep) as folder:
        laptop, desktop = (Machine(name, folder / name, cancelled) for name in ("laptop", "desktop"))
        try:
            _prepare(folder, laptop, desktop)
            _first_meeting(folder, laptop, desktop)
            _both_write(laptop, desktop)
            _verdict(laptop, desktop)
            screen.say(f"\nThat took {time.monotonic() - began:.0f} seconds.")
            return 0
        except Stopped:
            screen.say("\nStopped.")
            return 130
        except (Failed, OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
            screen.bad(f"The demo failed: {error}")
            return 1
        finally:
            laptop.close_host()
            desktop.close_host()


@contextlib.contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="opencode-sidecar-demo-")).resolve()
    try:
        yield folder
    finally:
        if keep:
            screen.say(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, laptop: Machine, desktop: Machine) -> None:
    screen.chapter("Two machines of one person")
    make_upstream(folder / "upstream", laptop)
    laptop.make("ada", folder / "upstream", newest_ago_ms=2 * HOUR_MS)
    desktop.make("bob", folder / "upstream", newest_ago_ms=HOUR_MS)
    laptop.git("init", "-q", "--bare", str(folder / "vault.git"))
    for machine in (laptop, desktop):
        rows = proof.rows(machine.db, machine.home)
        sessions = sum(table == "session" for table, _ in rows)
        screen.say(f"The {machine.name} has {sessions} sessions ({len(rows)} rows), made by opencode 1.18.33, in {machine.home}")
        machine.open_host()
    screen.say("Both have clones of the same two projects. On both, a stand-in for opencode keeps the database open from now on.")


def _first_meeting(folder: Path, laptop: Machine, desktop: Machine) -> None:
    screen.chapter("Meeting through a git remote")
    remote = str(folder / "vault.git")
    made_on = {session: machine.name for machine in (laptop, desktop) for session in _sessions(machine)}
    laptop.sidecar("init", remote, "--device-name", "laptop")
    laptop.sidecar("sync")
    key = laptop.keep_key(desktop.home)
    screen.say("The desktop needs the recovery key: whoever has it can read the vault, and nobody else can, the remote included.")
    desktop.sidecar("link", remote, "--device-name", "desktop", "--key-file", str(key))
    desktop.sidecar("sync")
    laptop.sidecar("sync")
    screen.chapter("Every session is on both now")
    here, there = _sessions(laptop), _sessions(desktop)
    listed = [
        (title, project, made_on.get(session, "?"), "✓" if session in here else "–", "✓" if session in there else "–")
        for session, (title, project) in (here | there).items()
    ]
    screen.table(("session", "project", "made on", "laptop", "desktop"), listed, (42, 12, 9, 7, 7))
    _must_be_equal(laptop, desktop)


def _both_write(laptop: Machine, desktop: Machine) -> None:
    screen.chapter("Both write at once")
    sessions = {title: session for session, (title, _) in _sessions(laptop).items()}
    shared, deleted = sessions[SHARED], sessions[DELETED]
    before = _turns(laptop, shared)
    laptop.host("rename", shared, NEW_TITLE)
    laptop.host("delete", deleted)
    desktop.host("continue", shared, NEW_TURN)
    screen.say(f"laptop:  renamed “{SHARED}” to “{NEW_TITLE}”, deleted “{DELETED}”")
    screen.say(f"desktop: continued “{SHARED}” with a new turn")
    differing = proof.differences(proof.rows(laptop.db, laptop.home), proof.rows(desktop.db, desktop.home))
    screen.say(f"The databases differ in {len(differing)} rows.")
    if not differing:
        raise Failed("nothing was written")
    for machine in (laptop, desktop, laptop):
        machine.sidecar("sync")
    screen.chapter("The merged session, as both machines have it")
    for machine in (laptop, desktop):
        title, turns = _sessions(machine)[shared][0], _turns(machine, shared)
        screen.say(f"{machine.name}: “{title}”")
        for turn in turns[-3:]:
            screen.say(f"    {turn}")
        if title != NEW_TITLE or turns != [*before, NEW_TURN]:
            raise Failed(f"the {machine.name} lacks the rename or the new turn")
        if deleted in _sessions(machine):
            raise Failed(f"the {machine.name} still has the deleted session")
    screen.say(f"“{DELETED}” is gone from both.")


def _verdict(laptop: Machine, desktop: Machine) -> None:
    screen.chapter("Proof")
    for machine in (laptop, desktop):
        machine.sidecar("verify")
        measured = machine.host("measure")
        screen.say(
            f"opencode's stand-in on the {machine.name} listed its sessions {measured['reads']} times meanwhile; longest wait {measured['longest_ms']} ms"
        )
    _must_be_equal(laptop, desktop)


def _must_be_equal(laptop: Machine, desktop: Machine) -> None:
    left, right = proof.rows(laptop.db, laptop.home), proof.rows(desktop.db, desktop.home)
    for line in proof.differences(left, right)[:20]:
        screen.bad(line)
    if left != right:
        raise Failed("the databases are not equal")
    for machine in (laptop, desktop):
        for line in proof.damage(machine.db):
            raise Failed(f"the database of the {machine.name} is damaged: {line}")
    screen.good(f"Compared with plain SQL: all {len(left)} rows are equal on both machines, in every column; both databases are sound.")


def _sessions(machine: Machine) -> dict[str, tuple[str, str]]:
    """id -> (title, folder below the home), oldest first."""
    connection = sqlite3.connect(f"{machine.db.as_uri()}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT id, title, directory FROM session ORDER BY time_created, id").fetchall()
        return {session: (title, directory.removeprefix(f"{machine.home.as_posix()}/")) for session, title, directory in found}
    finally:
        connection.close()


def _turns(machine: Machine, session: str) -> list[str]:
    """What the user asked, in order."""
    query = "SELECT m.data, p.data FROM message m JOIN part p ON p.message_id = m.id WHERE m.session_id=? ORDER BY m.time_created, m.id, p.id"
    connection = sqlite3.connect(f"{machine.db.as_uri()}?mode=ro", uri=True)
    try:
        pairs = [(json.loads(message), json.loads(part)) for message, part in connection.execute(query, (session,))]
        return [part["text"] for message, part in pairs if message["role"] == "user" and part["type"] == "text"]
    finally:
        connection.close()
