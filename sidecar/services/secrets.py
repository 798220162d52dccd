"""Between scan and segment: looking for secrets in what is about to be published, and doing what the policy says.

Taken out is a secret in the published copy alone. The shadow keeps the hash of the local row, so the row counts as published;
what comes back from other machines with marks in it gets the local text put back (`Originals`) before it is compared or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.secrets import (
    HELD,
    REDACT,
    REDACTED,
    STATE_OF,
    WARN,
    Decisions,
    Finding,
    Span,
    exchanged,
    marks_in,
    masked,
    parsed,
    strings,
    unmasked,
)
from sidecar.domain.state import Row, SessionRows
from sidecar.domain.task import Task
from sidecar.domain.turns import turn_start
from sidecar.services.scan import Change, SessionScan, before
from sidecar.services.workspace import SecretTools, Workspace

NOT_LOOKED_AT = frozenset({"project_id", "directory"})
"""They say where a session belongs; without them it could be shown nowhere."""
REPORT_BYTES = 32 << 20
BATCH_CHARS = 1 << 18
"""Rows are small: a first look at many of them together costs a fraction of a look at each."""


Key = TypeVar("Key")


class Hit(NamedTuple):
    """A secret in a row. `text`: the string it is in."""

    path: str
    text: str
    span: Span

    @property
    def value(self) -> str:
        return self.text[self.span[0] : self.span[1]]


def texts_of(columns: Row) -> list[str]:
    """Every text of a row that is looked at."""
    found: list[str] = []
    waiting = [value for name, value in columns.items() if name not in NOT_LOOKED_AT]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, bytes):
            found.append(value.decode("utf-8", "surrogateescape"))
        elif isinstance(value, (list, dict)):
            waiting += value if isinstance(value, list) else value.values()
    return found


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds secrets in the columns of a row. `check` is called on the way through what is long."""

    tools: SecretTools
    check: Callable[[], None]

    def rows(self, rows: Iterable[tuple[Key, Row]]) -> Iterator[tuple[Key, list[Hit]]]:
        """Those rows that have secrets in them, with what was found."""
        batch: list[tuple[Key, Row]] = []
        texts: list[str] = []
        size = 0
        for key, columns in rows:
            found = texts_of(columns)
            batch.append((key, columns))
            texts += found
            size += sum(map(len, found))
            if size >= BATCH_CHARS:
                yield from self._batch(batch, texts)
                batch, texts, size = [], [], 0
        yield from self._batch(batch, texts)

    def _batch(self, batch: list[tuple[Key, Row]], texts: list[str]) -> Iterator[tuple[Key, list[Hit]]]:
        large = any(len(text) >= BATCH_CHARS for text in texts)  # not to be copied
        if any(self.tools.look(text, self.check) for text in (texts if large else ["\n".join(texts)])):
            for key, columns in batch:
                hits = self.row(columns)
                if hits:
                    yield key, hits

    def row(self, columns: Row) -> list[Hit]:
        found: list[Hit] = []
        for name, value in columns.items():
            if name not in NOT_LOOKED_AT:
                found += self._value(value, name)
        return found

    def _value(self, value: Any, path: str) -> list[Hit]:
        if isinstance(value, list):
            return [hit for index, item in enumerate(value) for hit in self._value(item, f"{path}[{index}]")]
        if isinstance(value, dict):
            return [hit for name, item in value.items() for hit in self._value(item, f"{path}.{name}")]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not isinstance(value, str) or not self.tools.look(value, self.check):
            return []
        inside = parsed(value)
        if inside is None:
            return [Hit(path, value, span) for span in self.tools.find(value)]
        texts = list(strings(inside, path, lambda name: not self.tools.find(name)))
        found = [Hit(where, text, span) for where, text in texts for span in self.tools.find(text)]
        return found + self._by_name(value, texts, found)

    def _by_name(self, value: str, texts: list[tuple[str, str]], found: list[Hit]) -> list[Hit]:
        """Secrets that only the name of the member that holds them shows."""
        known, more = {hit.value for hit in found}, []
        for start, end, rule in self.tools.find(value):
            secret = value[start:end]
            if any(secret in other for other in known):
                continue
            for where, text in texts:
                at = text.find(secret)
                if at >= 0:
                    more.append(Hit(where, text, (at, at + len(secret), rule)))
        return more


class Guard:
    """One scan's look at what it would publish. `dry` notes nothing."""

    def __init__(self, workspace: Workspace, task: Task, *, dry: bool) -> None:
        self.ws, self.task, self.dry = workspace, task, dry
        self._finder = Finder(workspace.tools.secrets, task.check)
        self._known: set[str] | None = None
        self._decisions: Decisions | None = None
        self._looked = self._reported = 0

    @property
    def decisions(self) -> Decisions:
        if self._decisions is None:
            self._decisions = self.ws.tools.secrets.load(not self.dry)
        return self._decisions

    def examine(self, scan: SessionScan, rows: SessionRows) -> list[Finding]:
        """Take out of a session's changes what must not be published. What was found now, and was not before."""
        if self._known is None:
            self._known = self.ws.shadow.sessions_with_findings()
        if not scan.changes and scan.session_id not in self._known:
            return []
        decisions, hits = self.decisions, {}
        if scan.session_id not in decisions.sessions:
            for change, found in self._finder.rows((change, self._columns(change)) for change in scan.changes):
                left = [hit for hit in found if not self._allowed(hit)]
                if left:
                    hits[id(change)] = left
        if not hits and scan.session_id not in self._known:
            return []
        policy = decisions.policy_for(self.ws.identity.encryption)
        examined = [(change.record.table, change.record.key) for change in scan.changes]
        held = {at for at, found in hits.items() if policy != WARN and not (policy == REDACT and self._redact(scan, at, found))}
        findings = [self._finding(change, hit, HELD if id(change) in held else STATE_OF[policy]) for change in scan.changes for hit in hits.get(id(change), ())]
        self._hold(scan, rows, held)
        return self._note(scan.session_id, examined, findings)

    def forget(self, present: set[str]) -> None:
        """Drop the findings of sessions that are gone."""
        for session in self.ws.shadow.sessions_with_findings() - present:
            self.ws.shadow.drop_findings(session)

    def _columns(self, change: Change) -> Row:
        columns = change.record.columns or {}
        self._looked += sum(len(value) for value in columns.values() if isinstance(value, (str, bytes)))
        if self._looked - self._reported > REPORT_BYTES:
            self._reported = self._looked
            self.task.report("secrets", bytes_done=self._looked)
        return columns

    def _allowed(self, hit: Hit) -> bool:
        return self.decisions.allows(hit.span[2], self.decisions.fingerprint(hit.value))

    def _finding(self, change: Change, hit: Hit, state: str) -> Finding:
        record = change.record
        fingerprint = self.decisions.fingerprint(hit.value)
        return Finding(record.session_id, record.table, record.key, hit.path, hit.span[2], fingerprint, state, self.ws.clock.wall())

    def _note(self, session: str, examined: list[tuple[str, str]], findings: list[Finding]) -> list[Finding]:
        known = {replace(finding, at=0) for finding in self.ws.shadow.findings(session)}
        if not self.dry:
            with self.ws.shadow.writing():
                self.ws.shadow.drop_findings(session, examined)
                self.ws.shadow.put_findings(findings)
        return [finding for finding in findings if replace(finding, at=0) not in known]

    # --- redact ---------------------------------------------------------------------------------------------------
    def _redact(self, scan: SessionScan, at: int, found: list[Hit]) -> bool:
        """Replace the record by one without what was found. False when something of it is still there: then it must be held."""
        change = next(change for change in scan.changes if id(change) == at)
        spans: dict[str, list[Span]] = {}
        for hit in found:
            if hit.span not in spans.setdefault(hit.text, []):
                spans[hit.text].append(hit.span)
        texts = {text: masked(text, _apart(parts), self.decisions.fingerprint) for text, parts in spans.items()}
        columns = {name: value if name in NOT_LOOKED_AT else _exchanged(value, texts) for name, value in (change.record.columns or {}).items()}
        if any(not self._allowed(hit) for hit in self._finder.row(columns)):
            return False
        change.record.columns = columns
        return True

    # --- hold -----------------------------------------------------------------------------------------------------
    def _hold(self, scan: SessionScan, rows: SessionRows, held: set[int]) -> None:
        """Leave out these records and what must not go without them: the rest of their turn, and every later one."""
        if not held:
            return
        scan.held = True
        records = [change.record for change in scan.changes if id(change) in held]
        tables = {record.table for record in records}
        if SESSION in tables and not self.ws.shadow.has_session(scan.session_id):
            scan.changes = []
            return
        turns = [self._turn(rows, record.key if record.table == MESSAGE else (record.columns or {}).get("message_id")) for record in records
                 if record.table in (MESSAGE, PART)]  # fmt: skip
        without = tables & {SESSION, TODO} | ({SESSION_MESSAGE, TODO} if SESSION_MESSAGE in tables else set())
        scan.changes = [change for change in scan.changes if change.record.is_tombstone or change.record.table not in without]
        if turns:
            scan.changes = before(scan.changes, rows, min(turns))

    @staticmethod
    def _turn(rows: SessionRows, message: Any) -> int:
        order = list(rows.messages)
        return turn_start([str(row["data"]) for row in rows.messages.values()], order.index(message)) if message in rows.messages else 0


def _apart(spans: list[Span]) -> list[Span]:
    """Spans that do not overlap, the longer ones first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: s[0] - s[1]):
        if all(span[1] <= start or span[0] >= end for start, end, _ in kept):
            kept.append(span)
    return kept


def _exchanged(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_exchanged(item, texts) for item in value]
    if isinstance(value, dict):
        return {name: _exchanged(item, texts) for name, item in value.items()}
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
        return _exchanged(text, texts).encode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return value
    if value in texts:
        return texts[value]
    return value if parsed(value) is None else exchanged(value, {old: new for old, new in texts.items() if old in set(_all(value))})


def _all(value: str) -> list[str]:
    return [text for _, text in strings(parsed(value), "", lambda _: True)]


class Originals:
    """Puts back what was taken out of rows that came from here. Looks at nothing that has no mark in it."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace
        self._rows: tuple[str, SessionRows | None] = ("", None)
        self._decisions: Decisions | None = None

    def forget(self) -> None:
        """The database may have changed."""
        self._rows = ("", None)

    def row(self, session: str, table: str, key: str, columns: Row) -> Row:
        """A record's columns as they are to be here. What has a mark that may stand for something in the local value leaves that as it is."""
        data = columns.get("data")
        if isinstance(data, str) and "[redacted:" not in data:
            return columns
        marks = marks_in(columns)
        if not marks:
            return columns
        if self._rows[0] != session:
            self._rows = (session, self.ws.db.session(session))
        local = _local(self._rows[1], table, key)
        if local is None:
            return columns
        if self._decisions is None:
            self._decisions = self.ws.tools.secrets.load(False)
        hits = Finder(self.ws.tools.secrets, lambda: None).row(local)
        originals = {self._decisions.fingerprint(hit.value): hit.value for hit in hits}
        unknown = marks - originals.keys() - marks_in(local)
        if not hits and not any((one.table, one.key) == (table, key) for one in self.ws.shadow.findings(session)):
            unknown = set()  # there is no secret here that it could stand for: another machine took one out of what it wrote
        return {name: local[name] if name in local and marks_in(value) & unknown else unmasked(value, originals) for name, value in columns.items()}


def _local(rows: SessionRows | None, table: str, key: str) -> Row | None:
    if rows is None:
        return None
    if table == SESSION:
        return rows.session
    if table == TODO:
        return {"items": [{name: value for name, value in item.items() if name != "session_id"} for item in rows.todos]}
    return {MESSAGE: rows.messages, PART: rows.parts, SESSION_MESSAGE: rows.session_messages}[table].get(key)


def release(ws: Workspace, decisions: Decisions) -> None:
    """New decisions: look again at what is held, and publish as it is what was taken out and is allowed now. Inside a transaction of the shadow."""
    shadow = ws.shadow
    for finding in shadow.findings():
        allowed = finding.session in decisions.sessions or decisions.allows(finding.rule, finding.fingerprint)
        if finding.state == REDACTED and allowed:
            shadow.unsettle(finding)
        if finding.state == HELD or allowed:
            shadow.forget_scan(finding.session)
    shadow.put("file_state", None)
