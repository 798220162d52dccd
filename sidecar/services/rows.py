"""Rows as the shadow records them, and values too large for a record."""

from __future__ import annotations

from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import MAX_VALUE_BYTES, last_update
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.state import SessionRows, ShadowRow
from sidecar.services.workspace import Workspace


def no_todos(ws: Workspace) -> bytes:
    """What the shadow records of an emptied todo list, which has no row in the database."""
    return ws.tools.hash_row({"items": [], "time_updated": None})


def row_hashes(ws: Workspace, rows: SessionRows) -> dict[tuple[str, str], bytes]:
    """Content hash of every row of a session, as the shadow records them."""
    hash_row, session = ws.tools.hash_row, str(rows.session["id"])
    found = {(SESSION, session): hash_row(rows.session)}
    for table, group in ((MESSAGE, rows.messages), (PART, rows.parts)):
        found.update(((table, key), hash_row(row)) for key, row in group.items())
    for key, row in rows.session_messages.items():
        found[(SESSION_MESSAGE, key)] = hash_row({name: value for name, value in row.items() if name != "seq"})
    if rows.todos:
        items = [{name: value for name, value in item.items() if name != "session_id"} for item in rows.todos]
        found[(TODO, session)] = hash_row({"items": items, "time_updated": last_update(items)})
    return found


def packed(row: ShadowRow | None) -> list[Any] | None:
    """As the journal keeps it."""
    return None if row is None else [list(row.version), row.sequence, row.hash, row.updated, row.cells]


def load_value(ws: Workspace, value: Any, device: str, commit: str | None = None) -> Any:
    """The value that a record of `device` only refers to; other values pass through. Raises segmentCorrupt.

    `commit`: a state of that device's log; the one that the shadow knows by default.
    """
    if getattr(value, "sha256", None) is None:
        return value
    if value.size > MAX_VALUE_BYTES:
        raise SidecarError("segmentCorrupt", f"A large value claims to have {value.size} bytes, more than {MAX_VALUE_BYTES >> 20} MB.")
    commit = commit or ws.shadow.head_of(device)[0] or ""
    data, names = b"", ws.sealer.names_of(value.sha256) if ws.sealer is not None else [None]
    for name in names:
        chunks = value.chunks(name)
        parts = [ws.repo.read_file(commit, path, limit=MAX_VALUE_BYTES) for path in chunks]
        if any(parts):
            break
    for index, part in enumerate(parts):
        if part is None:
            raise SidecarError("segmentCorrupt", "A large value is missing from the vault.", detail=chunks[index])
        try:
            data += ws.tools.decompress(part if ws.sealer is None else ws.sealer.open_whole(part, "blob", device, name, index), value.size)
        except ValueError as error:
            raise SidecarError("segmentCorrupt", f"A large value in the vault is damaged: {error}.", detail=chunks[index]) from None
    if len(data) != value.size or ws.tools.sha256(data) != value.sha256:
        raise SidecarError("segmentCorrupt", "A large value does not match its checksum.", detail=chunks[0])
    return data.decode("utf-8", "surrogateescape") if value.is_text else data
