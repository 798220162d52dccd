"""Configuration: files of the user's, of other machines and of opencode Desktop."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import cast

from sidecar.adapters.config import jsonc
from sidecar.app import Sidecar
from sidecar.domain.config_merge import merge_lines
from sidecar.domain.config_names import clashes, problem_with_name
from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_overrides import read as read_overrides
from sidecar.domain.config_plan import ROWS, settings_from
from sidecar.domain.errors import SidecarError
from sidecar.domain.identity import LocalProject, ProjectIdentity
from sidecar.domain.paths import PortablePath, flavour, session_path, to_local, to_portable
from sidecar.services.config_files import FileMerger
from sidecar.services.projects_sync import merge_projects
from sidecar.services.workspace import Workspace
from sidecar.settings import Settings
from tests.fuzz.feed import Feed

TOOLS = Sidecar(Settings.from_environ({"HOME": "/nowhere", "PATH": os.environ["PATH"]}))._config_tools()
NAMES = ["model", "plugin", "mcp", "provider", "apiKey", "environment", "command", "instructions", "a", "b"]


def edited(data: bytes) -> None:
    """An edit gives the wanted value, and every comment outside of what it replaced is still there."""
    feed = Feed(data)
    wanted, text = feed.json(NAMES), feed.rest()
    try:
        before = jsonc.parse(text)
        after = jsonc.edit(text, wanted)
    except jsonc.SyntaxProblem:
        return
    assert jsonc.canonical(jsonc.parse(after).value) == jsonc.canonical(wanted)
    if isinstance(wanted, dict) and isinstance(before.value, dict) and before.root.kind == "object":
        gone = [item for path, _ in jsonc.changes(before.value, wanted) if (item := before.find(path)) is not None]
        gone += [other for item in list(gone) for other in before.root.items if other.key == item.key]
        for start, end in before.comments:
            assert any(item.start <= start and end <= item.end for item in gone) or text[start:end].rstrip() in after, "a comment was lost"


def merged(data: bytes) -> None:
    """Three texts: either nothing is done, or both sides have what the merge by key says and it settles."""
    feed = Feed(data)
    row = ROWS[feed.int() % 3]
    texts = [_text(feed) for _ in range(3)]
    done = FileMerger(TOOLS, Overrides(), sealed=True).merge(row, row.repo, *texts)
    if done.problem is not None:
        assert (done.mine, done.theirs) == (texts[1], texts[2]), "a file that cannot be merged was changed"
        return
    for text in (done.mine, done.theirs):
        if text is not None and row.repo.endswith((".json", ".jsonc")):
            jsonc.parse(text)
    if not done.conflicts:  # a second round may take out a secret that another tool had put into the vault
        rounds = [done]
        for _ in range(2):
            merger, last = FileMerger(TOOLS, Overrides(names=dict(rounds[-1].names)), sealed=True), rounds[-1]
            rounds.append(merger.merge(row, row.repo, last.base, last.mine, last.theirs, apart=last.apart))
        assert (rounds[2].mine, rounds[2].theirs) == (rounds[1].mine, rounds[1].theirs), "it never settles"


def _text(feed: Feed) -> bytes | None:
    kind = feed.int() % 4
    if kind == 0:
        return None
    if kind == 1:
        return feed.part()
    value = feed.json(NAMES)
    return json.dumps(value if isinstance(value, dict) else {"a": value}, indent=2 if kind == 2 else None).encode()


def settings(data: bytes) -> None:
    """opencode-sidecar.jsonc, opencode-synced.jsonc and both files of overrides."""
    feed = Feed(data)
    value = feed.json([*("includeConfig", "includeProjects", "includeSecrets", "extraConfigPaths", "allowSecretsIn", "repo", "{env}"), *NAMES])
    settings_from(value if isinstance(value, dict) else {})
    other = feed.json(NAMES)
    overrides = read_overrides(value, other, {json.dumps(["model"]): "1"})
    mine = feed.json(NAMES)
    if isinstance(mine, dict):
        overrides.note_edits(mine)
        overrides.local(overrides.portable(mine, {}), everywhere=True)


def lines(data: bytes) -> None:
    feed = Feed(data)
    base, mine, theirs = feed.part(), feed.part(), feed.rest()
    result = merge_lines(base, mine, theirs)
    assert merge_lines(result, result, result) == result
    assert sorted(result.splitlines()) == sorted(merge_lines(base, theirs, mine).splitlines()) or b"timestamp" in mine + theirs


def text(data: bytes) -> None:
    feed = Feed(data)
    base, mine, theirs = feed.part(), feed.part(), feed.rest()
    done = TOOLS.merge_text(base, mine, theirs)
    assert base != mine or done in (theirs, None)
    with suppress(SidecarError):  # bytes that git takes for binary have no lines
        TOOLS.union_text(base, mine, theirs)


def names(data: bytes) -> None:
    found = [part.decode("utf-8", "surrogateescape") for part in data.split(b"\n")]
    for path in found:
        if problem_with_name(path) is None:
            path.encode()
            for pure in (PurePosixPath("/root"), PureWindowsPath("C:/root")):
                target = pure / path
                assert target.is_relative_to(pure), "it leads out of its folder"
                assert ".." not in target.parts
                assert len(target.parts) == len(pure.parts) + path.count("/") + 1
            assert not PureWindowsPath(path).is_reserved()
    clashes(found)


def paths(data: bytes) -> None:
    """A folder of another machine is always one of this machine's, below the project or home."""
    feed = Feed(data)
    home, worktree = feed.pick(
        [("/home/u", "/home/u/app"), ("/home/u", "/"), ("/home/u", ""), ("C:/Users/u", "C:/Users/u/app"), ("C:/Users/u", "D:/w"), ("//nas/u", "/")]
    )
    salt = feed.int()

    def exists(path: str) -> bool:
        return path in (home, worktree) or (len(path) * 31 + salt) % 3 != 0

    token = PortablePath(base=feed.pick(["project", "home", "absolute", "x", ""]), rest=feed.text(), os=feed.pick(["posix", "windows", "", "\0"]))
    local = to_local(token, worktree, home, exists)
    inside = any(root and (local == root or local.startswith(root.rstrip("/") + "/")) for root in (home, worktree if worktree != "/" else ""))
    assert inside or (token["base"] == "absolute" and token["os"] == flavour(home) == flavour(local) and exists(local)), (
        f"{local!r} is none of this machine's folders"
    )
    if inside:
        assert ".." not in local.split("/")
        assert flavour(home) == "posix" or ".." not in local.split("\\")
    session_path(local, worktree)
    directory = feed.rest().decode("utf-8", "surrogateescape")
    back = to_portable(directory, worktree, home)
    assert back["base"] in ("project", "home", "absolute")
    session_path(directory, worktree)


def desktop(data: bytes) -> None:
    """JSON in JSON; every other member stays byte for byte."""
    feed = Feed(data)
    known = ["projects", "local", "worktree", "expanded", "lastProjectSession", "/home/u/app", "directory", "id", "at", "list"]
    shared = feed.json(
        ["version", "projects", "lastSession", "place", "project", "home", "origin", "roots", "ids", "expanded", "id", "at", "directory", "base"]
    )
    server, page = feed.json(known), feed.json(known)
    other = '"kept": "{\\"password\\": 1}"'
    here = f'{{{other},\n\t"server": {json.dumps(json.dumps(server))}, "layout.page": {json.dumps(json.dumps(page))}}}'.encode()
    here = here if feed.int() % 4 else feed.rest()
    project = LocalProject("p", "/home/u/app", ProjectIdentity(("p",), "host/x", ("r",)))
    ws = SimpleNamespace(projects=lambda: {"p": project}, home="/home/u", tools=SimpleNamespace(exists=lambda path: "x" not in path))
    done = merge_projects(cast("Workspace", ws), TOOLS, here, json.dumps(shared).encode(), [], lambda: False)
    if done.problem is not None:
        assert done.mine == here
    elif other.encode() in here:
        assert done.mine is not None
        assert other.encode() in done.mine, "another member of the Desktop's file was changed"
    if done.theirs is not None:
        assert b"password" not in done.theirs
