"""Params and results of `sync/compact`. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from attrs import Factory, frozen


@frozen
class CompactParams:
    """`dry_run`: say what it would save, and change nothing."""

    dry_run: bool = False
    work_done_token: str | int | None = None


@frozen
class LogSize:
    """This device's log as it is now, without what its history holds: bytes of segments and large values, segments, commits."""

    bytes: int = 0
    segments: int = 0
    commits: int = 0


@frozen
class CompactResult:
    """`done`: the remote has confirmed the compacted log; false also when there was nothing to gain.

    `kept`, `dropped`: records. `dropped_values`: files of large values that nothing refers to. `resealed`: something of the log was under a
    former key. `freed_here`: bytes that came free in this device's copy of the vault.
    """

    done: bool
    before: LogSize
    after: LogSize
    kept: int = 0
    dropped: int = 0
    dropped_values: int = 0
    resealed: bool = False
    freed_here: int = 0
    warnings: list[str] = Factory(list)
