"""What the devices hold at a checkpoint: databases, logs, journals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from campaigns.soak.oracle import Digest, digest
from sidecar.services.history import read_images
from sidecar.services.receive import MAX_SEGMENT_BYTES
from sidecar.services.rows import load_value
from sidecar.services.workspace import Workspace
from tests.support.invariants import Content
from tests.support.machines import Machine

DATA = {"session": "title", "message": "data", "part": "data"}


def shared_content(machine: Machine, strange: set[str]) -> Content:
    """All selected rows, folders as seen from the home folder, without what other devices cannot hold."""
    content = machine.content()
    home = str(machine.root / "home")
    for key, project, directory in machine.sql("SELECT id, project_id, directory FROM session"):
        content["session"][key] |= {"project": project, "directory": directory.replace(home, "~")}
    for table in ("message", "part"):
        rows = content[table]
        content[table] = {key: row for key, row in rows.items() if not strange.intersection((key, row.get("message_id")))}
    return content


def check(recorded: dict[Digest, str], machines: Sequence[Machine]) -> None:
    """I2 for versions: what a scan saw is in a database, a log or a journal."""
    missing = set(recorded)
    for machine in machines:
        missing.difference_update(_in_database(machine))
        with machine.sidecar._workspace(remote=False) as ws:
            missing.difference_update(_in_journal(ws))
    if missing:
        with machines[0].sidecar._workspace(remote=False) as ws:
            missing.difference_update(_in_logs(ws))
    assert not missing, f"I2: {len(missing)} versions of rows that a scan saw are in no database, no log and no journal: {[recorded[m] for m in missing][:8]}"


def _in_database(machine: Machine) -> Iterator[Digest]:
    for table, column in DATA.items():
        for key, value in machine.sql(f"SELECT id, {column} FROM {table}"):
            yield digest(table, key, value)
    lists: dict[str, list[str]] = {session: [] for (session,) in machine.sql("SELECT id FROM session")}
    for session, item in machine.sql("SELECT session_id, content FROM todo ORDER BY session_id, position"):
        lists[session].append(item)
    for session, items in lists.items():
        yield digest("todo", session, tuple(items))


def _in_logs(ws: Workspace) -> Iterator[Digest]:
    refs = ws.repo.refs("refs/remotes/origin/sessions/") | ws.repo.refs("refs/heads/sessions/")
    for ref, commit in refs.items():
        device = ref.rpartition("/")[2]
        for entry in ws.repo.tree(commit, "seg/"):
            data = ws.repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES)
            sequence = int(entry.path.rpartition("/")[2].partition("-")[0])
            reader = ws.tools.segment_reader(data, entry.path, device=device, sequence=sequence, sealer=ws.sealer)
            for group in reader.groups(None):
                for record in group.records:
                    yield from _digests(record.table, record.key, {name: load_value(ws, value, device) for name, value in (record.columns or {}).items()})


def _in_journal(ws: Workspace) -> Iterator[Digest]:
    for cycle in ws.journal.cycles(-1):
        for session, *_ in cycle.sessions:
            for image in read_images(ws, cycle.id, session):
                yield from _digests(image.table, image.key, image.columns or {})


def _digests(table: str, key: str, columns: Any) -> Iterator[Digest]:
    if table == "todo" and "items" in columns:
        yield digest(table, key, tuple(item["content"] for item in columns["items"]))
    elif table in DATA and DATA[table] in columns:
        yield digest(table, key, columns[DATA[table]])
