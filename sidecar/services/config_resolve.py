"""Settling what was changed here and elsewhere: a person says which. The next cycle takes it to the other machines."""

from __future__ import annotations

import json
from typing import Any

from protocol.config import ConfigConflict, ResolveParams, ResolveResult
from sidecar.domain.config_merge import MISSING, canonical, get, put
from sidecar.domain.config_names import Refused
from sidecar.domain.config_plan import JSON, policy_of, row_of
from sidecar.domain.config_secrets import unscrub
from sidecar.domain.errors import SidecarError
from sidecar.services.config_files import Content
from sidecar.services.config_sync import ConfigSync

CHOICES = ("mine", "theirs", "both", "text")
_HEADER = b"{}\n"


def conflicts(entries: dict[str, Any]) -> list[ConfigConflict]:
    """All that wait, in order."""
    return [
        ConfigConflict(_id(path, conflict["key"]), path, list(conflict["key"]), conflict["mine"], conflict["theirs"])
        for path, entry in sorted(entries.items())
        for conflict in entry.get("conflicts") or ()
    ]


def _id(path: str, key: list[str]) -> str:
    """A file, or a file and a member as a JSON pointer."""
    return f"{path}#" + "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in key) if key else path


def resolve(sync: ConfigSync, cycle: str, params: ResolveParams) -> ResolveResult:
    """List, or settle one conflict, or all of a file. Raises invalidParams."""
    known = conflicts(sync.entries)
    if params.path is None:
        if params.choice is not None:
            raise _invalid("Which conflict?", params.choice)
        return ResolveResult(known)
    chosen = [conflict for conflict in known if params.path in (conflict.id, conflict.path)]
    if not chosen:
        raise _invalid("There is no such conflict.", params.path)
    if params.choice not in CHOICES or (params.choice == "text") != (params.text is not None):
        raise _invalid(f"The choice must be one of {', '.join(CHOICES)}, the last one with a text, the others without.", str(params.choice))
    if params.choice == "text" and len(chosen) > 1:
        raise _invalid("This file has several conflicts: give a text for each of them.", params.path)
    _Settling(sync, cycle, chosen[0].path).settle([tuple(conflict.key) for conflict in chosen], params.choice, params.text)
    sync.state["stamp"] = None
    sync.parts.store.save(sync.state)
    return ResolveResult(conflicts(sync.entries), [conflict.id for conflict in chosen])


class _Settling:
    """One file's conflicts."""

    def __init__(self, sync: ConfigSync, cycle: str, path: str) -> None:
        self.sync, self.cycle, self.path = sync, cycle, path
        row = row_of(path, sync.rows)
        if row is None:
            raise _invalid("This file is not synced any more.", path)
        self.row, self.entry = row, sync.entries[path]
        store = sync.parts.store
        self.base, self.theirs = store.get(self.entry.get("base")), store.get(self.entry.get("theirs"))
        if self.theirs is None and self.entry.get("theirs"):
            raise _invalid("What the other side had is not here any more: sync first.", path)
        try:
            self.target = sync.parts.local.place(row, path)
            self.mine = sync.parts.local.read(self.target)
        except Refused as error:
            raise _invalid(f"The file cannot be settled: {error}.", path) from None

    def settle(self, keys: list[tuple[str, ...]], choice: str, text: str | None) -> None:
        """The vault's version becomes the base, so that what is here now counts as a change of it."""
        if keys == [()]:
            new = self._whole(choice, text)
            self.base = self.theirs
        else:
            new = self._members(keys, choice, text)
        if new != self.mine:
            store, local = self.sync.parts.store, self.sync.parts.local
            store.back_up(self.cycle, self.path, self.target, self.mine, local.mode(self.target))
            try:
                local.write(self.row, self.target, new)
            except Refused as error:
                raise _invalid(f"The file cannot be settled: {error}.", self.path) from None
        self.entry["base"] = self.sync.parts.store.put(self.base) if self.base is not None else None
        self.entry["conflicts"] = [conflict for conflict in self.entry["conflicts"] if tuple(conflict["key"]) not in keys]

    def _whole(self, choice: str, text: str | None) -> Content:
        if choice == "text":
            return (text or "").encode()
        if choice == "both":
            if self.mine is None or self.theirs is None:
                return self.mine if self.theirs is None else self.theirs
            if b"\0" in self.mine + self.theirs or policy_of(self.row, self.path, self.mine) == JSON:
                raise _invalid("Both cannot be kept in one file of this kind.", self.path)
            return self.sync.parts.tools.union_text(self.base or b"", self.mine, self.theirs)
        return self.mine if choice == "mine" else self.theirs

    def _members(self, keys: list[tuple[str, ...]], choice: str, text: str | None) -> Content:
        tools = self.sync.parts.tools
        try:
            mine, theirs, base = (tools.value_of(data) if data is not None else {} for data in (self.mine, self.theirs, self.base))
        except ValueError as error:
            raise _invalid(f"The file is not valid JSON: {error}.", self.path) from None
        known = self.sync.overrides().names
        for key in keys:
            there = get(theirs, key)
            if choice == "theirs":
                mine = put(mine, key, there if there is MISSING else unscrub(there, known))
            elif choice == "both":
                mine = put(mine, key, self._both(get(mine, key), there))
            elif choice == "text":
                mine = put(mine, key, _json(text or ""))
            base = put(base, key, there)
        self.base = tools.edit(self.base or _HEADER, base, self.theirs)
        return tools.edit(self.mine or _HEADER, mine, self.theirs)

    def _both(self, mine: Any, theirs: Any) -> Any:
        if not isinstance(mine, list) or not isinstance(theirs, list):
            raise _invalid("Both can be kept of lists only: choose mine, theirs or text.", self.path)
        known = {canonical(item) for item in mine}
        return mine + [item for item in theirs if canonical(item) not in known]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _invalid(f"The text must be JSON: {error}.", text[:80]) from None


def _invalid(message: str, detail: str) -> SidecarError:
    return SidecarError("invalidParams", message, detail=detail, remedy="`opencode-sidecar resolve` lists the conflicts.")
