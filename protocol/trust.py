"""Params and results of the methods that undo, check and mend. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from attrs import Factory, frozen

from protocol.sync import Applied, Attention, Published


@frozen
class HistoryParams:
    """`limit`: at most so many cycles, newest first."""

    limit: int = 50


@frozen
class HistorySession:
    """What one cycle changed in one session of the local database."""

    id: str
    title: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@frozen
class HistoryCycle:
    """A past cycle that did something. `at`: Unix milliseconds. `kind`: cycle, restore. `files`: configuration files it changed.

    `restorable`: what it changed or deleted is still in the journal.
    """

    cycle_id: str
    at: int
    kind: str = "cycle"
    published: Published = Factory(Published)
    applied: Applied = Factory(Applied)
    sessions: list[HistorySession] = Factory(list)
    files: list[str] = Factory(list)
    restorable: bool = True


@frozen
class HistoryResult:
    """`journal_bytes`: what the journal takes on disk. `snapshot`: the database as it was before the first apply, or null."""

    cycles: list[HistoryCycle]
    journal_bytes: int = 0
    snapshot: str | None = None


@frozen
class RestoreParams:
    """`cycle`: as in `sync/history`. `session`: undo this session of it alone."""

    cycle: str
    session: str | None = None
    work_done_token: str | int | None = None


@frozen
class RestoreResult:
    """`cycle_id`: the restore's own entry in the history, by which it can be undone. `skipped`: what could not be put back, and why."""

    cycle_id: str
    restored: Applied = Factory(Applied)
    session_ids: list[str] = Factory(list)
    refreshable: bool = False
    files: list[str] = Factory(list)
    skipped: list[Attention] = Factory(list)


@frozen
class DoctorParams:
    """`offline`: leave out the checks that talk to the remote."""

    offline: bool = False
    work_done_token: str | int | None = None


@frozen
class Check:
    """One finding. `detail` says what was seen, `remedy` what to do when not `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@frozen
class DoctorResult:
    ok: bool
    checks: list[Check]


@frozen
class RepairParams:
    """`salvage`: write what can still be read of a damaged database into this new file, named by its whole path."""

    salvage: str | None = None
    work_done_token: str | int | None = None


@frozen
class RepairResult:
    """`actions`: what was done, one line each. `salvaged`: rows per table, when asked for."""

    actions: list[str]
    salvaged: dict[str, int] | None = None


@frozen
class QuarantineParams:
    """`retry`: fetch and read it again now, and apply what can be."""

    retry: bool = False
    work_done_token: str | int | None = None


@frozen
class Quarantined:
    """What is kept aside. `kind`: segment (could not be read), record (this opencode could not hold it). `device` wrote it, in its segment `sequence`.

    `session_id`: empty for a segment of which not even that is known. `since`: Unix milliseconds.
    """

    kind: str
    device: str
    device_name: str
    sequence: int
    session_id: str
    title: str
    reason: str
    since: int


@frozen
class QuarantineResult:
    """`entries`: what is kept aside (afterwards, when it was tried again). `released`: how many are not any more; `applied`: what came of it."""

    entries: list[Quarantined]
    released: int = 0
    applied: Applied = Factory(Applied)
    session_ids: list[str] = Factory(list)
    refreshable: bool = False
    warnings: list[str] = Factory(list)
