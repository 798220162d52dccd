"""The deletion guard's question, "did you delete these?", and its second answer: no, bring them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.sync import Guarded
from sidecar.domain.records import SESSION
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.services.scan import Change, SessionScan

MAX_LISTED = 1_000
GUARD_ANSWERS = (
    "Did you delete them? `opencode-sidecar sync --deletions publish` deletes them on all your machines, `--deletions restore` brings them back here."
)


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows of one session that the database held when we last looked, and now does not."""

    session: str
    title: str
    rows: tuple[tuple[str, str], ...]

    @property
    def whole(self) -> bool:
        return (SESSION, self.session) in self.rows

    @property
    def listed(self) -> Guarded:
        return Guarded(self.session, self.title, len(self.rows), self.whole)


def find_gone(ws: Workspace, vanished: Sequence[str], parts: Sequence[tuple[SessionScan, Sequence[Change]]]) -> list[Gone]:
    """`vanished`: whole sessions; `parts`: sessions that are here, with the deletions found in them."""
    found = [Gone(session, ws.shadow.title(session), tuple(ws.shadow.rows(session))) for session in vanished]
    return found + [Gone(scan.session_id, scan.title, tuple((c.record.table, c.record.key) for c in changes)) for scan, changes in parts]


def bring_back(ws: Workspace, gone: Sequence[Gone]) -> None:
    """Forget that these rows were here, and make the records they came from due again: applying them writes the rows as any that arrive.

    All in one transaction of the shadow, and nothing of it in the logs: what a crash leaves is finished by the next cycle, and no
    deletion is ever published.
    """
    shadow = ws.shadow
    with shadow.writing():
        for one in gone:
            if one.whole:
                shadow.drop_session(one.session)
                shadow.due_again(one.session, None)
                continue
            known = shadow.rows(one.session)
            shadow.due_again(one.session, {(known[at].version.device, known[at].sequence) for at in one.rows if at in known})
            shadow.drop_rows(one.session, one.rows)
            shadow.forget_scan(one.session)
        shadow.put("database", database_identity(ws))
        note_guarded(ws, [])


def database_identity(ws: Workspace) -> list[Any]:
    """Another one means that the file was replaced, or migrated: rows may be missing in it that nobody deleted."""
    return [ws.db.file_state()[0][:2], ws.db.schema().level]


def note_guarded(ws: Workspace, gone: Sequence[Gone]) -> None:
    """Keep what is asked about for `status`. Inside a transaction of the shadow."""
    ws.shadow.put("guarded", len(gone))
    ws.shadow.put("guarded_sessions", [[g.session_id, g.title, g.rows, g.whole] for g in (one.listed for one in gone[:MAX_LISTED])])


def guarded(ws: Workspace) -> list[Guarded]:
    """What the last scan held back."""
    return [Guarded(*entry) for entry in ws.shadow.get("guarded_sessions", [])]
