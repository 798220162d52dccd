"""Configuration as people see it: settings, previews, what waits."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from protocol.sync import Attention, FileChange
from sidecar.services.config_model import ConfigPlan, FilePlan
from sidecar.services.config_resolve import conflicts

MAX_LINES, MAX_SHOWN = 200, 100


def file_changes(plan: ConfigPlan, names: Mapping[str, str]) -> list[FileChange]:
    """What a cycle would do to files. `names`: secrets, which no diff shows."""
    found = []
    for file in plan.files:
        change = _change(file)
        if change is not None:
            found.append(FileChange(file.path, change, file.executable, _diff(file, names)))
    return found


def _change(file: FilePlan) -> str | None:
    if file.merge.conflicts:
        return "conflict"
    if file.comes_in and file.goes_out:
        return "both"
    if file.comes_in:
        return "in" if file.merge.mine is not None else "deleteIn"
    if file.goes_out:
        return "out" if file.merge.theirs is not None else "deleteOut"
    return None


def _diff(file: FilePlan, names: Mapping[str, str]) -> str:
    if file.row.secret or not file.comes_in:
        return ""
    texts = []
    for data in (file.here, file.merge.mine):
        text = (data or b"").decode("utf-8", "replace")
        if "\0" in text:
            return ""
        for name, secret in sorted(names.items(), key=lambda item: -len(item[1])):
            text = text.replace(secret, f"{{env:{name}}}")
        texts.append(text.splitlines())
    lines = list(difflib.unified_diff(texts[0], texts[1], f"here/{file.path}", f"then/{file.path}", lineterm="", n=2))
    return "\n".join(line[:400] for line in lines[:MAX_LINES])


def counts(state: Mapping[str, Any]) -> dict[str, int]:
    entries = state.get("files", {})
    return {"files": len(entries), "conflicts": len(conflicts(entries)), "problems": len(state.get("problems", ()))}


def attention(state: Mapping[str, Any]) -> list[Attention]:
    """For `status`."""
    found = [Attention("", "conflict", f"{entry.id} was changed here and elsewhere") for entry in conflicts(state.get("files", {}))]
    found += [Attention("", "config", f"{path}: {why}") for path, why in state.get("problems", ())]
    if state.get("error"):
        found.append(Attention("", "config", str(state["error"])))
    return found[:MAX_SHOWN]
