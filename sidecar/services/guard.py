"""The deletion guard's question, "did you delete these?", and its second answer: no, bring them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.sync import Guarded
from sidecar.domain.records import SESSION
from sidecar.domain.state import ShadowRow
from sidecar.domain.undo import At
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.services.scan import Change, SessionScan

MAX_LISTED = 1_000
GUARD_SESSIONS = 20
GUARD_SHARE = 0.10
GUARD_ANSWERS = (
    "Did you delete them? `opencode-sidecar sync --deletions publish` deletes them on all your machines, `--deletions restore` brings them back here."
)


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows of one session that the database held when we last looked, and now does not."""

    session: str
    title: str
    rows: tuple[At, ...]

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
            forget_rows(ws, one.session, one.rows)
        note_database(ws)
        note_guarded(ws, [])


def forget_rows(ws: Workspace, session: str, rows: Sequence[At]) -> None:
    """These rows were never here, and what they came from is due. Inside a transaction of the shadow."""
    known = ws.shadow.rows(session)
    ws.shadow.due_again(session, {(known[at].version.device, known[at].sequence) for at in rows if at in known})
    ws.shadow.drop_rows(session, rows)
    ws.shadow.forget_scan(session)


def is_older(change: Change, known: Mapping[At, ShadowRow]) -> bool:
    """Whether a row's time went back: opencode does no such thing, a backup that was put back does."""
    before, now = known.get((change.record.table, change.record.key)), change.shadow
    return before is not None and now is not None and (now.updated or 0) < (before.updated or 0)


def is_suspicious(ws: Workspace, sessions: int, total: int, *, answered: bool, went_back: bool) -> bool:
    """Whether nobody may have meant so many of `total` sessions to lose rows, or all those in a file that is another one.

    `went_back`: something that is there is older than it was.

    A question stays until it is answered, whatever else is written or comes in: that makes no deletion a person's own.
    """
    asked = not answered and bool(ws.shadow.get("guarded"))
    return bool(sessions) and (asked or went_back or sessions > max(GUARD_SESSIONS, int(total * GUARD_SHARE)) or _is_another(ws))


def unanswered(ws: Workspace, gone: Sequence[Gone]) -> set[str]:
    """Sessions that lost more since the question was asked that is answered now. Empty when none was asked: then all of it was meant."""
    asked = {entry.session_id: entry.rows for entry in guarded(ws)}
    if not asked or len(asked) < ws.shadow.get("guarded", 0):  # there was more than can be listed
        return set()
    return {one.session for one in gone if len(one.rows) > asked.get(one.session, 0)}


def _identity(ws: Workspace) -> list[Any]:
    return [ws.db.file_state()[0][:2], ws.db.schema().level, ws.db.first_project()]


def _is_another(ws: Workspace) -> bool:
    """Whether the file was replaced, made anew, put back to what it was, or migrated: rows may be missing in it that nobody deleted."""
    return ws.shadow.get("database") not in (None, _identity(ws)) or ws.db.pages() < ws.shadow.get("database_pages", 0)


def note_database(ws: Workspace) -> None:
    """This is the file that was looked at. Inside a transaction of the shadow."""
    ws.shadow.put("database", _identity(ws))
    ws.shadow.put("database_pages", ws.db.pages())


def note_guarded(ws: Workspace, gone: Sequence[Gone]) -> None:
    """Keep what is asked about for `status`. Inside a transaction of the shadow."""
    ws.shadow.put("guarded", len(gone))
    ws.shadow.put("guarded_sessions", [[g.session_id, g.title, g.rows, g.whole] for g in (one.listed for one in gone[:MAX_LISTED])])


def guarded(ws: Workspace) -> list[Guarded]:
    """What the last scan held back."""
    return [Guarded(*entry) for entry in ws.shadow.get("guarded_sessions", [])]
