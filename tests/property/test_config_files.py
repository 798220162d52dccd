"""One file's merge with its text: comments of both sides, and the values that the merge by key says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.config import jsonc
from sidecar.app import Sidecar
from sidecar.domain.config_merge import MISSING, merge_values
from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_plan import ROWS, SETS
from sidecar.services.config_files import FileMerge, FileMerger
from sidecar.settings import Settings

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "60"))
ROW = ROWS[0]
TOOLS = Sidecar(Settings.from_environ({"HOME": "/nowhere", "PATH": os.environ["PATH"]}))._config_tools()
KEYS = ["model", "theme", "mcp", "plugin", "agent"]
VALUES = st.one_of(
    st.sampled_from(["x", "y", 1]), st.lists(st.sampled_from(["p", "q"]), max_size=2, unique=True), st.fixed_dictionaries({"k": st.sampled_from([1, 2])})
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


def written(value: dict[str, Any], mark: str, comments: list[int]) -> bytes:
    """With a comment of its own on some lines."""
    lines = json.dumps(value, indent=2).splitlines()
    for number in sorted({number % len(lines) for number in comments}, reverse=True):
        lines.insert(number, f"// {mark}{number}")
    return ("\n".join(lines) + "\n").encode()


def merge(base: bytes | None, mine: bytes | None, theirs: bytes | None, *, apart: bool = False) -> FileMerge:
    return FileMerger(TOOLS, Overrides(), sealed=False).merge(ROW, "config/opencode.json", base, mine, theirs, apart=apart)


@settings(max_examples=EXAMPLES)
@given(OBJECTS, OBJECTS, OBJECTS, st.lists(st.integers(0, 20), max_size=2), st.lists(st.integers(0, 20), max_size=2))
def test_no_side_loses_a_comment_and_both_have_the_merged_values(base: Any, mine: Any, theirs: Any, here: list[int], there: list[int]) -> None:
    texts = written(base, "base", []), written(mine, "mine", here), written(theirs, "theirs", there)
    done = merge(*texts)
    wanted = merge_values(base, mine, theirs, lambda path: path in SETS)
    assert done.problem is None
    for text, value in ((done.mine, wanted.mine), (done.theirs, wanted.theirs), (done.base, wanted.base)):
        assert jsonc.canonical(jsonc.parse(text or b"").value) == jsonc.canonical(value)
    assert done.mine is not None
    assert done.theirs is not None
    for text, result in ((texts[1], done.mine), (texts[2], done.theirs)):
        before = jsonc.parse(text)
        gone = [item for path, _ in jsonc.changes(before.value, jsonc.parse(result).value) if (item := before.find(path)) is not None]
        for start, end in before.comments:
            if not any(item.start <= start and end <= item.end for item in gone):
                assert text[start:end] in result, "a comment of the user was lost"
    again = merge(done.base, done.mine, done.theirs, apart=done.apart)
    assert (again.mine, again.theirs) == (done.mine, done.theirs), "it never settles"


@settings(max_examples=EXAMPLES)
@given(OBJECTS, OBJECTS, st.lists(st.integers(0, 20), max_size=2))
def test_what_one_side_did_comes_as_it_was_written(base: Any, changed: Any, comments: list[int]) -> None:
    old, new = written(base, "base", []), written(changed, "new", comments)
    assert merge(old, old, new).mine == new
    assert merge(old, new, old).theirs == new
    assert merge(None, None, new).mine == new


def test_a_file_that_is_gone_on_one_side(tmp_path: Path) -> None:
    old, new = b'{"a": 1}', b'{"a": 2}'
    assert merge(old, None, old).theirs is None
    assert merge(old, old, None).mine is None
    for done in (merge(old, None, new), merge(old, new, None)):
        assert [conflict.path for conflict in done.conflicts] == [()], "an edit was deleted, or a deletion undone"
    assert merge(old, None, new).conflicts[0].mine is MISSING


def test_a_secret_in_the_name_of_a_member_is_not_pushed() -> None:
    token = "ghp_" + "a1B2" * 9
    text = json.dumps({"permission": {"bash": {f"curl -H 'Authorization: Bearer {token}' *": "allow"}}}).encode()
    done = merge(None, text, None)
    assert "permission.bash" in (done.problem or "")
    assert done.theirs is None
    assert token not in (done.problem or "")
    assert FileMerger(TOOLS, Overrides(), sealed=True).merge(ROW, "config/opencode.json", None, text, None).theirs == text
