"""Showing what the scan for secrets found."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.secrets import SecretFinding, SecretsResult
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.secrets import Finding
from sidecar.domain.task import Task
from sidecar.services.secrets import Finder, texts_of
from sidecar.services.workspace import Workspace

MAX_FINDINGS = 1000


def listed(ws: Workspace) -> SecretsResult:
    """From the shadow alone."""
    return _result(ws, ws.shadow.findings())


def everything(ws: Workspace, task: Task) -> SecretsResult:
    """Look through the whole database. Changes nothing."""
    finder, decisions = Finder(ws.tools.secrets, task.check), ws.tools.secrets.load(False)
    known = {(f.session, f.table, f.key, f.path, f.rule, f.fingerprint): f for f in ws.shadow.findings()}
    sessions, found, looked = ws.db.session_ids(), [], 0
    for index, session in enumerate(sessions):
        task.report("secrets", index, len(sessions), bytes_done=looked)
        rows = ws.db.fit_session(session)
        if rows is None:
            continue
        tables = [(SESSION, {session: rows.session}), (MESSAGE, rows.messages), (PART, rows.parts), (SESSION_MESSAGE, rows.session_messages)]
        tables.append((TODO, {session: {"items": rows.todos}}))
        looked += sum(len(text) for _, group in tables for columns in group.values() for text in texts_of(columns))
        for (table, key), hits in finder.rows(((table, key), columns) for table, group in tables for key, columns in group.items()):
            for hit in hits:
                at = (session, table, key, hit.path, hit.span[2], decisions.fingerprint(hit.value))
                found.append(known.get(at) or Finding(*at, "seen"))
    return _result(ws, found)


def _result(ws: Workspace, found: Iterable[Finding]) -> SecretsResult:
    decisions = ws.tools.secrets.load(False)
    shown = list(dict.fromkeys(found))[:MAX_FINDINGS]
    in_title = {f.session for f in shown if f.table == SESSION and f.path.startswith("title")}
    findings = [
        SecretFinding(
            f.session, f.table, f.key, f.path, f.rule, f.fingerprint, f.state, "" if f.session in in_title else ws.shadow.title(f.session), f.at or None
        )
        for f in shown
    ]
    return SecretsResult(
        policy=decisions.policy_for(ws.identity.encryption),
        is_default=decisions.policy is None,
        findings=findings,
        allowed_fingerprints=sorted(decisions.fingerprints),
        allowed_rules=sorted(decisions.rules),
        allowed_sessions=sorted(decisions.sessions),
    )


def warnings(found: list[Finding]) -> list[str]:
    """One line for what a cycle found that was not known before."""
    texts = {
        "published": "went out as they are, and should be replaced where they are in use",
        "held": "are held back here until they are allowed",
        "redacted": "were taken out of the published copy",
    }
    lines = []
    for state, text in texts.items():
        fresh = [finding for finding in found if finding.state == state]
        if fresh:
            secrets, sessions = len({finding.fingerprint for finding in fresh}), len({finding.session for finding in fresh})
            lines.append(f"{secrets} possible secret{'s' * (secrets > 1)} in {sessions} session{'s' * (sessions > 1)} {text}: see `opencode-sidecar secrets`.")
    return lines
