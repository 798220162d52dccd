"""A linked device with a valid log full of nonsense: nothing of it is written, nothing stops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from protocol.sync import CycleParams, InitParams, LinkParams, StatusParams, VerifyParams
from sidecar.adapters.git import VaultRepo
from sidecar.adapters.segments import SegmentWriter
from sidecar.adapters.segments import writer as writer_module
from sidecar.adapters.segments.values import BlobRef
from sidecar.domain.records import MESSAGE, PART, SESSION, TODO, Record, Version
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine

Make = Callable[..., Machine]
DEVICE = "e" * 32
V = Version(1_700_000_000_000, 0, DEVICE)
WHOLE = {"project_id": {"ids": ["p" * 40]}, "directory": {"base": "project", "rest": "", "os": "posix"}, "title": "t", "slug": "s", "version": "1"}
TIMES = {"time_created": 1_700_000_000_000, "time_updated": 1_700_000_000_000}
VERSIONS = {
    "versions that are no numbers": Version("soon", 0, DEVICE),  # type: ignore[arg-type]
    "versions without end": Version(2**63 - 1, 2**63 - 1, DEVICE),
    "versions beyond SQLite": Version(2**64 - 1, 0, DEVICE),
}
NONSENSE: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "project ids of another type": [(SESSION, "ses_x", {**WHOLE, **TIMES, "project_id": {"ids": 7}})],
    "no project at all": [(SESSION, "ses_x", {**WHOLE, **TIMES, "project_id": "p" * 40})],
    "a folder that is a list": [(SESSION, "ses_x", {**WHOLE, **TIMES, "directory": ["/", "etc"]})],
    "a folder above": [(SESSION, "ses_x", {**WHOLE, **TIMES, "directory": {"base": "project", "rest": "../../../etc", "os": "posix"}})],
    "a map where text belongs": [(SESSION, "ses_x", {**WHOLE, **TIMES, "title": {"a": 1}})],
    "an integer beyond SQLite": [(SESSION, "ses_x", {**WHOLE, **TIMES, "time_archived": 2**64 - 1})],
    "another row's key among the columns": [
        (SESSION, "ses_x", {**WHOLE, **TIMES}),
        (MESSAGE, "msg_x", {**TIMES, "data": '{"role":"user"}', "id": "msg_1u", "session_id": "ses_1"}),
    ],
    "column names as SQL": [(SESSION, "ses_x", {**WHOLE, **TIMES, 'title"=1; DROP TABLE session; --': "x"})],
    "a todo list that is a number": [(SESSION, "ses_x", {**WHOLE, **TIMES}), (TODO, "ses_x", {"items": 5})],
    "a part of another session's message": [
        (SESSION, "ses_x", {**WHOLE, **TIMES}),
        (PART, "prt_x", {**TIMES, "message_id": "msg_1u", "data": '{"type":"text","text":"x"}'}),
    ],
    "JSON that is none": [(SESSION, "ses_x", {**WHOLE, **TIMES}), (MESSAGE, "msg_x", {**TIMES, "data": "{"})],
    "columns that never travel": [(SESSION, "ses_x", {**WHOLE, **TIMES, "id": "ses_1", "workspace_id": "w", "share_url": "https://evil"})],
    "a large value that is not there": [(SESSION, "ses_x", {**WHOLE, **TIMES, "title": BlobRef(bytes(32), 2_000_000, is_text=True)})],
    "a large value without end": [(SESSION, "ses_x", {**WHOLE, **TIMES, "title": BlobRef(bytes(32), 2**63, is_text=True)})],
    "a directory that names what is not there": [(SESSION, "ses_x", {**WHOLE, **TIMES})],
    "a frame that is none": [(SESSION, "ses_x", {**WHOLE, **TIMES})],
    "a frame of gigabytes": [(SESSION, "ses_x", {**WHOLE, **TIMES})],
    "versions that are no numbers": [(SESSION, "ses_x", {**WHOLE, **TIMES}), (MESSAGE, "msg_x", {**TIMES, "data": '{"role":"user"}'})],
    "todo items that are lists": [(SESSION, "ses_x", {**WHOLE, **TIMES}), (TODO, "ses_x", {"items": [{"content": {"a": 1}, "status": [1], "position": 0}]})],
    "a deletion that saw a list": [(MESSAGE, "msg_1u", None)],  # type: ignore[list-item]
    "a deletion of no text": [(MESSAGE, "\udcff", None)],  # type: ignore[list-item]
    "a path that no system has": [(SESSION, "ses_x", {**WHOLE, **TIMES, "directory": {"base": "home", "rest": "x" * 5_000, "os": "posix"}})],
    "versions without end": [(SESSION, "ses_1", {"title": "last"})],
    "versions beyond SQLite": [(SESSION, "ses_1", {"title": "last"})],
    "the user's own rows": [(MESSAGE, "msg_1u", {**TIMES, "data": '{"role":"user"}'})],
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_of_one_device_touches_nothing_else(machine: Make, remote: Path, case: str) -> None:
    a, b = machine("a"), machine("b")
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    db = a.connect()
    at = int(time.time() * 1000) - 60_000
    edits.new_session(db, "ses_1", at)
    edits.add_turn(db, "ses_1", "1", at)
    a.sidecar.run(CycleParams(), Task())
    before = a.content()
    _publish(a, remote, case)
    edits.new_session(db, "ses_2", at + 10)
    db.close()
    for one in (a, b, a):
        one.sidecar.run(CycleParams(), Task())
    names = {device.name for device in b.sidecar.status(StatusParams(), Task()).devices if device.id == DEVICE}
    assert any("evil" in name for name in names), "the hostile log was not read at all: this test shows nothing"
    for table, rows in before.items():
        for key, row in rows.items():
            assert a.content()[table][key] == row, f"{table} {key} of the user was changed by {case}"
    assert {"ses_1", "ses_2"} <= {row[0] for row in b.sql("SELECT id FROM session")}, "one device's nonsense stopped the others"
    for one in (a, b):
        one.check_integrity()
        damage = {difference.session_id for difference in one.sidecar.verify(VerifyParams(), Task()).differences}
        assert damage <= {"ses_x", "ses_ghost", ""}, f"verify takes {damage} for damaged because of {case}"
        assert one.sql("SELECT count(*) FROM session WHERE workspace_id IS NOT NULL OR share_url IS NOT NULL") == [(0,)]
        for (directory,) in one.sql("SELECT directory FROM session"):
            assert directory.startswith(str(one.root)), "a record chose a folder outside"


def _publish(machine: Machine, remote: Path, case: str) -> None:
    """As a device that knows the format and has push access could."""
    writer = SegmentWriter(DEVICE, 1)
    for table, key, columns in NONSENSE[case]:
        session = "ses_1" if key in ("ses_1", "msg_1u") else "ses_x"
        writer.add(Record(table, key, session, VERSIONS.get(case, V), columns, [1] if columns is None else None))  # type: ignore[arg-type]
    if case == "a directory that names what is not there":
        writer._puts["ses_ghost", 1] = True
    with pytest.MonkeyPatch.context() as patch:
        if case == "a frame that is none":
            patch.setattr(writer_module, "_compress", lambda *_: b"nonsense")
        if case == "a frame of gigabytes":
            patch.setattr(writer_module, "_compress", lambda *_: zstandard.ZstdCompressor().compress(bytes(1 << 30)))
        segment = writer.finish()
    vault = json.loads((machine.own_state / "device.json").read_text())["vaultId"]
    head = {"format": 1, "vault": vault, "device": {"id": DEVICE, "name": "evil\x1b[2J", "platform": "linux"}, "sequence": 1, "published": 1}
    head["segment"] = {"path": segment.path}
    repo = VaultRepo.create(machine.root / "hostile.git", machine.environ)
    repo.set_remote(str(remote))
    ref = f"refs/heads/sessions/{DEVICE}"
    repo.commit(ref, None, {segment.path: segment.data, "head.json": json.dumps(head).encode()}, "x", 1)
    repo.push(Task(), f"sessions/{DEVICE}")
    repo.close()
