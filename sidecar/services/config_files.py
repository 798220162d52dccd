"""One file's merge: the bytes that belong here, the bytes that belong in the vault, and the base of the next merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.config_merge import MISSING, Conflict, Merged, merge_lines, merge_values, same
from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_plan import JSON, LINES, SETS, TEXT, Row, policy_of
from sidecar.domain.config_secrets import Moved, Path, names_in, scrub, secret_member, unscrub

Content = bytes | None


@dataclass(frozen=True, slots=True)
class ConfigTools:
    """Functions of the adapters. `value_of` and `edit` raise ValueError with line and column."""

    value_of: Callable[[bytes], Any]
    edit: Callable[[bytes, Any, Content], bytes]
    without_comments: Callable[[bytes, Callable[[str], bool]], bytes]
    merge_text: Callable[[bytes, bytes, bytes], Content]
    union_text: Callable[[bytes, bytes, bytes], bytes]
    looks_secret: Callable[[str], bool]
    secret_line: Callable[[bytes], int | None]
    in_environment: Callable[[str], bool]


@dataclass(slots=True)
class FileMerge:
    """`mine`, `theirs`, `base`: None is no file. `problem`: why nothing was done."""

    mine: Content
    theirs: Content
    base: Content
    conflicts: list[Conflict] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    """Members of a JSON file that change here."""
    apart: bool = False
    """The texts here and in the vault say the same in different words: from now on each keeps its own comments."""
    plain: list[Path] = field(default_factory=list)
    """Places of secrets that opencode-synced published as they are."""
    problem: str | None = None
    later: str | None = None
    """Why something that belongs here is not written yet."""
    seen: list[str] | None = None
    """Projects that were ever open in the Desktop here."""


class FileMerger:
    """Merges the files of one cycle. `sealed`: what is pushed can be read by the user's own devices alone. `filled`: secrets that were put in before."""

    def __init__(self, tools: ConfigTools, overrides: Overrides, *, sealed: bool, allowed: tuple[str, ...] = (), filled: Iterable[str] = ()) -> None:
        self.tools, self.overrides, self._sealed, self._allowed, self._filled = tools, overrides, sealed, allowed, frozenset(filled)
        self.names = dict(overrides.names)

    def merge(self, row: Row, path: str, base: Content, mine: Content, theirs: Content, *, main: bool = False, apart: bool = False) -> FileMerge:
        """`main`: of the files that overrides apply to, the one that gets what none of them has. `apart`: as it was said last time."""
        if row.root in ("state", "data"):  # opencode was reset or never started here or there: nobody deleted anything
            mine, theirs = (base if text is None else text for text in (mine, theirs))
        policy = policy_of(row, path, mine or theirs or base or b"")
        if policy == JSON:
            try:
                return self._json(row, base, mine, theirs, main=main, apart=apart)
            except ValueError as error:
                return FileMerge(mine, theirs, base, problem=f"it cannot be merged, {error}")
        result = merge_whole(base, mine, theirs)
        if result.conflicts and mine is not None and theirs is not None:
            merged = None
            if policy == LINES:
                merged = merge_lines(base, mine, theirs)
            elif policy == TEXT and base is not None:
                merged = self.tools.merge_text(base, mine, theirs)
            if merged is not None:
                result = FileMerge(merged, merged, merged)
        line = self.tools.secret_line(result.theirs) if result.theirs not in (None, theirs) and not row.secret and path not in self._allowed else None
        if line is not None and not self._sealed:
            return FileMerge(mine, theirs, base, problem=f"line {line} holds what looks like a secret; it stays here")
        return result

    # --- JSON -----------------------------------------------------------------------------------------------------
    def _json(self, row: Row, base: Content, mine: Content, theirs: Content, *, main: bool, apart: bool) -> FileMerge:
        old, there = (MISSING if text is None else self._value(text, side) for text, side in ((base, "as it was"), (theirs, "in the vault")))
        local = MISSING if mine is None else self._value(mine, "here")
        if local == {} and old not in (MISSING, {}) and not (mine or b"").strip():
            raise ValueError("here: it is empty, as a crash leaves a file; write {} if it shall be, or delete it")
        moved: list[Moved] = []
        names: dict[str, str] = {}
        plain: list[Path] = []
        portable = local
        if row.overrides and isinstance(local, dict):
            self.overrides.note_edits(local)
            portable = self.overrides.portable(local, there if there is not MISSING else old)
        if not row.secret and local is not MISSING:
            self._check_members(portable, there)
            known = there if there is not MISSING else old
            clean = scrub(portable, known, self.names, self.tools.in_environment, self.tools.looks_secret, MISSING if self._sealed else there)
            portable, names, plain = clean.value, clean.names, clean.plain
            moved = [entry for entry in clean.moved if self.names.get(entry.name) != names[entry.name]]
            self.names |= names
        if row.only is not None:
            portable, old, there_all, there = (*(_only(value, row.only) for value in (portable, old)), there, _only(there, row.only))
        merged = merge_values(old, portable, there, lambda at: at in SETS)
        wanted_here = merged.mine if row.only is None else _beside(local, merged.mine, row.only)
        wanted_there = merged.theirs if row.only is None else _beside(there_all, merged.theirs, row.only)
        if isinstance(wanted_here, (dict, list)):
            if not row.secret:  # where a person has put a placeholder back in the place of a secret, it stays
                chosen = names_in(local) & self._filled
                wanted_here = unscrub(wanted_here, {name: text for name, text in self.names.items() if name not in chosen})
            if row.overrides and isinstance(wanted_here, dict):
                wanted_here = self.overrides.local(wanted_here, everywhere=main)
        result = self._texts(row, (base, mine, theirs), portable, merged, (wanted_here, wanted_there), apart=apart)
        result.conflicts, result.moved, result.names, result.plain = merged.conflicts, moved, names, plain
        if isinstance(wanted_here, dict) and local is not MISSING:
            result.keys = {key for key in {*wanted_here, *local} if not same(wanted_here.get(key, MISSING), local.get(key, MISSING))}
        elif isinstance(wanted_here, dict):
            result.keys = set(wanted_here)
        return result

    def _check_members(self, mine: Any, there: Any) -> None:
        """A name cannot be replaced by a placeholder, as a value can."""
        place = None if self._sealed else secret_member(mine, there, self.tools.looks_secret)
        if place is not None:
            raise ValueError(f"here: the name of a member of {'.'.join(map(str, place)) or 'the file'} holds what looks like a secret; the file stays here")

    def _value(self, text: bytes, where: str) -> Any:
        try:
            value = self.tools.value_of(text)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"{where}: it is no object")
        return value

    def _texts(self, row: Row, texts: tuple[Content, ...], portable: Any, merged: Merged, wanted: tuple[Any, Any], *, apart: bool) -> FileMerge:
        """The texts for the merged values: comments, order and formatting of each side stay, and travel where they can."""
        base, mine, theirs = texts
        here, there = wanted
        edit = self.tools.edit
        plain = None if mine is None else edit(mine, portable, None)
        travels = None if plain is None else self._travelling(row, plain)
        text: Content = None
        if travels is not None and theirs is not None and not merged.conflicts and row.only is None and (not apart or travels == theirs):
            text = self._together(base, travels, theirs, merged.mine)
        new_theirs = None if there is MISSING else edit(text or theirs or travels or b"", there, travels)
        if here is MISSING:
            new_mine = None
        elif mine is None:
            new_mine = edit(new_theirs or b"", here, None)
        else:
            new_mine = edit(text, here, mine) if text is not None and travels == plain else edit(mine, here, theirs)
        new_base: Content = None
        if merged.base is not MISSING:
            new_base = edit((base if merged.conflicts else None) or new_theirs or travels or base or b"", merged.base, travels)
        if not merged.conflicts and new_mine is not None and row.only is None:
            apart = self._travelling(row, edit(new_mine, merged.mine, None)) != new_theirs
        return FileMerge(new_mine, new_theirs, new_base, apart=apart)

    def _together(self, base: Content, mine: bytes, theirs: bytes, value: Any) -> Content:
        """One text for both sides, comments of both included, or None when lines of both cannot be put together."""
        if mine == theirs or base == mine:
            text: Content = theirs
        elif base == theirs:
            text = mine
        else:
            text = self.tools.merge_text(base, mine, theirs) if base is not None else None
        try:
            return text if text is not None and same(self.tools.value_of(text), value) else None
        except ValueError:
            return None

    def _travelling(self, row: Row, text: bytes) -> bytes:
        return text if row.secret else self.tools.without_comments(text, self.tools.looks_secret)


def merge_whole(base: Content, mine: Content, theirs: Content) -> FileMerge:
    """A file as one piece."""
    if theirs in (mine, base):
        return FileMerge(mine, mine, mine)
    if base == mine:
        return FileMerge(theirs, theirs, theirs)
    return FileMerge(mine, theirs, base, [Conflict((), base is not None or MISSING, mine is not None or MISSING, theirs is not None or MISSING)])


def _only(value: Any, names: frozenset[str]) -> Any:
    return {key: inner for key, inner in value.items() if key in names} if isinstance(value, dict) else value


def _beside(whole: Any, part: Any, names: frozenset[str]) -> Any:
    """The members of `part` among what else is in the file."""
    if part is MISSING:
        return whole
    return {key: value for key, value in (whole if isinstance(whole, dict) else {}).items() if key not in names} | part
