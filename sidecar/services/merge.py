"""Turning the records of a log into writes: which of them win here, which must wait, and why.

Pure but for the functions in `Environment`. The outcome depends on the set of records, not on their order:
per cell the greatest version wins, and a tombstone removes exactly what its writer had seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.fitness import last_update
from sidecar.domain.records import LOCAL_SESSION_COLUMNS, MESSAGE, PART, SESSION, TODO, Group, Record, Version, VersionVector, covers
from sidecar.domain.state import FUTURE, PARENT_MISSING, QUARANTINED, UNPLACED, Op, Row, ShadowRow
from sidecar.services.scan import ShadowRows, value_hash

Tombstones = Mapping[tuple[str, str], VersionVector]


@dataclass(frozen=True, slots=True)
class Environment:
    """What a plan needs to know of this machine. `columns`: table -> column -> value for a NOT NULL column nobody gave."""

    columns: Mapping[str, Mapping[str, Any]]
    hash_row: Callable[[Row], bytes]
    localise: Callable[[Row, bool], Row | None]
    """(portable session columns, is new) -> local columns; None when the project is not on this machine."""
    problem_with: Callable[[str, Row], str | None]
    role_of: Callable[[str], str]
    load: Callable[[Any], Any]
    """Resolves a reference to a large value; other values pass through."""
    now: int
    original: Callable[[str, str, str, Row], Row] = lambda _session, _table, _key, columns: columns
    """(session, table, key, columns) -> columns with what was taken out of them before they left this machine put back."""


@dataclass(slots=True)
class Plan:
    """`state` and the rest say what of the group still waits; APPLIED (0) when nothing does."""

    ops: list[Op] = field(default_factory=list)
    state: int = 0
    until: int = 0
    detail: str = ""
    adopted: list[tuple[str, str, ShadowRow]] = field(default_factory=list)
    """Rows that are here as they should be, by a newer version than was known: only the shadow has to learn it."""
    returned: bool = False
    """A message that was deleted here is back: what came for its parts meanwhile was passed over, and is due again."""
    refused: set[str] = field(default_factory=set)
    """Rows that this opencode cannot hold."""
    unresolved: str = ""
    """The project that the session was moved to, when it is not on this machine."""
    contested: list[tuple[str, str]] = field(default_factory=list)
    """Rows whose winning version is deleted while some device may have an unseen older one: only the logs can tell."""

    def wait(self, state: int, detail: str, until: int = 0) -> None:
        """What is tried again soonest decides: a refused row is found again then."""
        if self.state in (0, QUARANTINED, state) or state == UNPLACED:
            self.state, self.detail, self.until = state, self.detail or detail, max(self.until, until)


def plan_group(group: Group, known: ShadowRows, tombs: Tombstones, env: Environment) -> Plan:
    """Plan one session's records of one segment. `known` is updated to what it will be once the plan is carried out."""
    plan = Plan()
    held = _future_messages(group, env)
    if held is None:
        plan.wait(FUTURE, "the session is dated after this machine's clock", _session_time(group))
        return plan
    if held:
        plan.wait(FUTURE, f"{len(held)} messages are dated after this machine's clock", max(held.values()))
    for record in group.records:
        if record.is_tombstone:
            _plan_delete(record, known, tombs, plan)
            continue
        covered = tombs.get((record.table, record.key))
        if covered is not None and record.table != SESSION and covers(covered, group.device, group.sequence):
            continue
        if record.table == SESSION:
            if not _plan_session(record, group.sequence, known, env, plan):
                return plan
        elif (SESSION, group.session_id) not in known:
            plan.wait(PARENT_MISSING, "its session has not arrived")
        elif record.key in held or (record.columns or {}).get("message_id") in held:
            continue
        else:
            _plan_row(record, group, known, tombs, env, plan)
    if plan.unresolved and plan.state in (0, QUARANTINED):  # what else it may wait for is tried again sooner
        plan.detail = ""
        plan.wait(UNPLACED, plan.unresolved)
    return plan


def _session_time(group: Group) -> int:
    return max((_time(r) for r in group.records if r.table == SESSION and r.columns), default=0)


def _time(record: Record) -> int:
    value = (record.columns or {}).get("time_created")
    return value if isinstance(value, int) else 0


def _future_messages(group: Group, env: Environment) -> dict[str, int] | None:
    """Messages to hold because they, or the turn they belong to, are dated after the local clock; None for all of the session."""
    if _session_time(group) > env.now:
        return None
    if not any(_time(record) > env.now for record in group.records):
        return {}
    messages = sorted((r for r in group.records if r.table == MESSAGE and r.columns), key=lambda r: (_time(r), r.key))
    first = next((index for index, record in enumerate(messages) if _time(record) > env.now), None)
    if first is None:
        return {}
    while first > 0 and env.role_of(str(env.load((messages[first].columns or {}).get("data")))) != "user":
        first -= 1
    return {record.key: _time(record) for record in messages[first:]}


def _plan_delete(record: Record, known: ShadowRows, tombs: Tombstones, plan: Plan) -> None:
    if record.table == SESSION:
        return  # decided for the session as a whole before its groups are planned
    at = (record.table, record.key)
    row = known.get(at)
    seen = tombs.get(at, record.seen or {})
    if row is None or not covers(seen, row.version.device, row.sequence):
        return
    plan.contested.append(at)


def _plan_session(record: Record, sequence: int, known: ShadowRows, env: Environment, plan: Plan) -> bool:
    """False when nothing of the group can be applied."""
    at = (SESSION, record.key)
    row = known.get(at)
    cells = dict(row.cells or {}) if row else {}
    columns = {name: env.load(value) for name, value in (record.columns or {}).items() if name not in LOCAL_SESSION_COLUMNS}
    if row is None and not {"project_id", "time_created"} <= columns.keys():  # a move says a project, too, and nothing else
        plan.wait(PARENT_MISSING, "the beginning of its session has not been applied")
        return False
    columns = env.original(record.key, SESSION, record.key, columns)
    winners = {name: value for name, value in columns.items() if name not in cells or _wins(record.version, cells[name])}
    local = env.localise(winners if row else columns, row is None)
    if local is None and row is None:
        plan.wait(UNPLACED, _project_label(columns))
        return False
    if local is None:  # it was moved to a project that is not here: it stays where it is, and that part of the record waits
        plan.unresolved = _project_label(columns)
        winners = {name: value for name, value in winners.items() if name not in ("project_id", "directory")}
        local = env.localise(winners, False) or {}
    problem = env.problem_with(SESSION, local)
    if problem:
        plan.wait(QUARANTINED, problem)
        return row is not None
    schema = env.columns[SESSION]
    if columns.keys() - schema.keys():
        plan.detail = plan.detail or "unknown-columns"
    local = {name: value for name, value in local.items() if name in schema}
    for name in winners:
        if name in schema:
            cells[name] = [*record.version, value_hash(local.get(name))]
    if row is None:
        local = {"id": record.key, **local}
        for name, default in schema.items():
            if name not in local and default is not None:
                local[name] = default
    updated = local.get("time_updated", row.updated if row else None)
    version = max(record.version, row.version) if row else record.version
    after = ShadowRow(version, sequence if version == record.version else (row.sequence if row else sequence), b"", updated, cells)
    if row is None or local:
        plan.ops.append(Op(SESSION, record.key, local, row.hash if row else None, after))
    known[at] = after
    return True


def _wins(version: Version, cell: list[Any]) -> bool:
    return version > Version(cell[0], cell[1], cell[2])


def _project_label(columns: Row) -> str:
    project = columns.get("project_id")
    if not isinstance(project, dict):
        return "its project is not on this machine"
    return str(project.get("name") or project.get("origin") or next(iter(project.get("ids", ())), "unknown"))


def _plan_row(record: Record, group: Group, known: ShadowRows, tombs: Tombstones, env: Environment, plan: Plan) -> None:
    at = (record.table, record.key)
    schema = env.columns.get(record.table)
    if schema is None:
        plan.detail = plan.detail or "unknown-columns"
        return
    row = known.get(at)
    if row is not None and record.version < row.version:
        return
    columns = record.columns or {}
    if type(columns.get("data")) is not str:
        columns = {name: env.load(value) for name, value in columns.items()}
    columns = env.original(record.session_id, record.table, record.key, columns)
    if record.table == TODO:
        _plan_todo(record, group, columns, row, schema, known, plan, env)
        return
    problem = env.problem_with(record.table, columns)
    if problem:
        plan.refused.add(record.key)
        plan.wait(QUARANTINED, problem)
        return
    if record.table == PART and (MESSAGE, columns.get("message_id")) not in known:
        if (MESSAGE, columns.get("message_id")) not in tombs:
            plan.wait(QUARANTINED if columns.get("message_id") in plan.refused else PARENT_MISSING, "a part's message has not arrived")
        return
    local: Row = {**columns, "id": record.key, "session_id": record.session_id}
    if local.keys() != schema.keys():
        local = _fit(local, schema, plan, is_new=row is None)
    complete = local.keys() >= (schema.keys() - {"seq"})
    digest = env.hash_row(local) if complete else b""
    after = ShadowRow(record.version, group.sequence, digest, columns.get("time_updated"))
    if row is None or row.hash != digest:
        plan.ops.append(Op(record.table, record.key, local, row.hash if row else None, after))
        plan.returned |= row is None and record.table == MESSAGE and at in tombs
    elif record.version > row.version:
        plan.adopted.append((*at, after))
    known[at] = after


def _fit(local: Row, schema: Mapping[str, Any], plan: Plan, *, is_new: bool) -> Row:
    """What this database has columns for; a new row gets a value in each that may not be empty."""
    if local.keys() - schema.keys():
        plan.detail = plan.detail or "unknown-columns"
    fitting = {name: value for name, value in local.items() if name in schema}
    if is_new:
        fitting.update((name, default) for name, default in schema.items() if name not in fitting and default is not None)
    return fitting


def _plan_todo(
    record: Record, group: Group, columns: Row, row: ShadowRow | None, schema: Mapping[str, Any], known: ShadowRows, plan: Plan, env: Environment
) -> None:
    items = [{name: value for name, value in item.items() if name in schema} for item in columns.get("items", ())]
    problem = next(filter(None, (env.problem_with(TODO, item) for item in items)), None)
    if problem is not None:
        plan.wait(QUARANTINED, problem)
        return
    updated = last_update(items)
    after = ShadowRow(record.version, group.sequence, env.hash_row({"items": items, "time_updated": updated}), updated)
    if row is None or row.hash != after.hash:
        local = [{"session_id": record.session_id, **item} for item in items]
        plan.ops.append(Op(TODO, record.key, {"items": local}, row.hash if row else None, after))
    elif record.version > row.version:
        plan.adopted.append((TODO, record.key, after))
    known[(TODO, record.key)] = after


__all__ = ["Environment", "Plan", "plan_group"]
