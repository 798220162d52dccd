"""Commands that look back, check and mend."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protocol.compact import CompactParams, CompactResult
from protocol.trust import (
    DoctorParams,
    DoctorResult,
    HistoryParams,
    HistoryResult,
    QuarantineParams,
    QuarantineResult,
    RepairParams,
    RepairResult,
    RestoreParams,
    RestoreResult,
)
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

EXIT_DONE, EXIT_FAILED, EXIT_ATTENTION = 0, 1, 3


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Their part of the grammar."""
    history = commands.add_parser("history", parents=[common], help="what past syncs changed here")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="so many at most (default 20)")
    restore = commands.add_parser("restore", parents=[common], help="take back what a sync changed or deleted here")
    restore.add_argument("cycle", metavar="CYCLE", help="as `history` shows it")
    restore.add_argument("--session", metavar="ID", help="this session of it alone")
    doctor = commands.add_parser("doctor", parents=[common], help="check everything that sync depends on")
    doctor.add_argument("--offline", action="store_true", help="do not talk to the remote")
    quarantine = commands.add_parser("quarantine", parents=[common], help="what could not be read or held here, whose it is and why")
    quarantine.add_argument("--retry", action="store_true", help="fetch and read it again now")
    compact = commands.add_parser("compact", parents=[common], help="rewrite this device's log with what still matters of it")
    compact.add_argument("--dry-run", action="store_true", help="say what it would save; change nothing")
    repair = commands.add_parser("repair", parents=[common], help="rebuild what is ours; opencode's database is only read")
    repair.add_argument("--salvage", metavar="FILE", help="copy what can be read of a damaged database into a new file")


def history(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.history(HistoryParams(args.limit), task)


def restore(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    result = sidecar.restore(RestoreParams(args.cycle, args.session), task)
    return EXIT_ATTENTION if any(entry.reason != "kept" for entry in result.skipped) else EXIT_DONE, result


def doctor(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    result = sidecar.doctor(DoctorParams(args.offline), task)
    return EXIT_DONE if result.ok else EXIT_FAILED, result


def compact(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.compact(CompactParams(args.dry_run), task)


def repair(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.repair(RepairParams(_whole_path(args.salvage)), task)


def quarantine(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    result = sidecar.quarantine(QuarantineParams(args.retry), task)
    return EXIT_ATTENTION if args.retry and result.entries else EXIT_DONE, result


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at / 1000))


def history_text(result: HistoryResult) -> list[str]:
    lines = []
    for cycle in result.cycles:
        a, sign = cycle.applied, "↩️ restore" if cycle.kind == "restore" else "🔄 sync"
        lines.append(f"{cycle.cycle_id}  {_when(cycle.at)}  {sign}: {a.inserted} rows in, {a.updated} changed, {a.deleted} deleted; {cycle.published.rows} out")
        lines += [f"    {s.title or s.id}  +{s.inserted} ~{s.updated} -{s.deleted}  {s.id}" for s in cycle.sessions[:5]]
        lines += [f"    {name}" for name in cycle.files[:5]]
        if len(cycle.files) > 5:
            lines.append(f"    and {len(cycle.files) - 5} more files")
        if len(cycle.sessions) > 5:
            lines.append(f"    and {len(cycle.sessions) - 5} more sessions")
    if result.snapshot:
        lines.append(f"The database as it was before the first change: {result.snapshot}")
    return lines or ["Nothing has been synced yet."]


def restore_text(result: RestoreResult) -> list[str]:
    r = result.restored
    lines = [
        f"✅ {r.sessions} sessions: {r.inserted} rows brought back, {r.updated} set back, {r.deleted} removed. Undo: `opencode-sidecar restore {result.cycle_id}`"
    ]
    lines += [f"   {name} is as it was before" for name in result.files]
    return lines + [f"{'ℹ️' if entry.reason == 'kept' else '⚠️'} {entry.title or entry.session_id}: {entry.detail}" for entry in result.skipped]


def doctor_text(result: DoctorResult) -> list[str]:
    return [f"{'✅' if check.ok else '❌'} {check.name}: {check.detail}{f' → {check.remedy}' if check.remedy else ''}" for check in result.checks]


def compact_text(result: CompactResult) -> list[str]:
    before, after = result.before, result.after
    sizes = f"{_size(before.bytes)} in {before.segments} segments and {before.commits} commits → {_size(after.bytes)} in {after.segments}"
    if not result.done and after.bytes >= before.bytes and not result.resealed:
        return [f"✅ Nothing to gain: {sizes}."]
    lines = [
        f"{'🧹' if result.done else 'It would be'} {sizes}; {result.dropped} of {result.kept + result.dropped} records {'' if result.done else 'would be '}dropped."
    ]
    if result.resealed:
        lines.append(
            "   All of it is sealed with the current key." if result.done else "   What is sealed with a former key would be sealed with the current one."
        )
    return lines + [f"⚠️ {warning}" for warning in result.warnings]


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MB" if count >= 1 << 20 else f"{count / 1024:.1f} KB"


def repair_text(result: RepairResult) -> list[str]:
    lines = [f"🔧 {action}" for action in result.actions] or ["✅ Nothing had to be repaired."]
    return lines + [f"   {table}: {rows} rows" for table, rows in (result.salvaged or {}).items()]


def quarantine_text(result: QuarantineResult) -> list[str]:
    lines = [f"✅ {result.released} of them could be used now: {result.applied.inserted} rows in, {result.applied.updated} changed."] if result.released else []
    for e in result.entries:
        since = f" since {_when(e.since)}" if e.since else ""
        lines.append(f"⚠️ {e.title or e.session_id or 'a whole segment'}, segment {e.sequence} of {e.device_name}{since}: {e.reason}")
    if result.entries:
        lines.append("   Update opencode and opencode-sidecar here, then `opencode-sidecar quarantine --retry`; a damaged segment is mended by who wrote it.")
    return (lines or ["✅ Nothing is kept aside."]) + [f"⚠️ {warning}" for warning in result.warnings]


COMMANDS: dict[str, Callable[[Sidecar, argparse.Namespace, Task], tuple[int, Any]]] = {
    "history": history,
    "restore": restore,
    "doctor": doctor,
    "repair": repair,
    "quarantine": quarantine,
    "compact": compact,
}
TEXTS: dict[str, Callable[[Any], list[str]]] = {
    "history": history_text,
    "restore": restore_text,
    "doctor": doctor_text,
    "repair": repair_text,
    "quarantine": quarantine_text,
    "compact": compact_text,
}


def _whole_path(name: str | None) -> str | None:
    return os.path.abspath(os.path.expanduser(name)) if name else name
