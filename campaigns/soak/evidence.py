"""What the devices hold at a checkpoint: databases, logs, journals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from campaigns.soak.ledger import DATA, digests, versions_of
from campaigns.soak.oracle import Digest, digest
from sidecar.services.history import read_images
from sidecar.services.workspace import Workspace
from tests.support.invariants import Content
from tests.support.machines import Machine

LOGS = ("refs/remotes/origin/sessions/", "refs/heads/sessions/", "refs/remotes/origin/forgotten/", "refs/heads/forgotten/")


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


def check(recorded: dict[Digest, str], left_out: set[Digest], machines: Sequence[Machine], gone: Sequence[Machine]) -> None:
    """I2 for versions: what a scan saw is in a database, a log or a journal, or a compaction left it out by right.

    `machines`: those that are in the vault; `gone`: those that were forgotten.
    """
    missing = set(recorded) - left_out
    for machine in (*machines, *gone):
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
    for prefix in LOGS:
        for ref, commit in ws.repo.refs(prefix).items():
            yield from versions_of(ws, ref.rpartition("/")[2], commit)


def _in_journal(ws: Workspace) -> Iterator[Digest]:
    for cycle in ws.journal.cycles(-1):
        for session, *_ in cycle.sessions:
            for image in read_images(ws, cycle.id, session):
                yield from digests(image.table, image.key, image.columns or {})
