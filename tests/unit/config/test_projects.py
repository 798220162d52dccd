"""The Desktop's project list: each machine gets the others' projects at its own folders, and nothing else in that file moves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.sync import CycleParams, InitParams, LinkParams
from sidecar.adapters.config.desktop import desktop_file, is_running
from sidecar.app import Sidecar
from sidecar.domain.projects_merge import Local, Place, Places, apply, preferences_in, share
from sidecar.domain.task import Task
from sidecar.services.projects_sync import merge_projects
from sidecar.settings import Settings
from tests.support.machines import Machine

Make = Callable[..., Machine]
TOOLS = Sidecar(Settings.from_environ({"HOME": "/nowhere", "PATH": os.environ["PATH"]}))._config_tools()


def dat(machine: Machine) -> Path:
    path = machine.root / "config/ai.opencode.desktop/opencode.global.dat"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def fill(machine: Machine, projects: list[str], last: dict[str, Any] | None = None) -> str:
    """As electron-store writes it: tabs, every value a text of JSON, and members that are none of our business."""
    server = {
        "list": [{"url": "https://h.invalid", "password": "of-" + machine.root.name}],
        "projects": {"local": [{"worktree": path, "expanded": True} for path in projects], "https://h.invalid": [{"worktree": "/elsewhere"}]},
        "lastProject": {"local": "/x"},
    }
    page = {"lastProjectSession": last or {}, "workspaceOrder": {"a": ["b"]}}
    text = json.dumps({"unknown": "{not json", "server": json.dumps(server), "layout.page": json.dumps(page), "theme": '"dark"'}, indent="\t")
    dat(machine).write_text(text)
    return text


def projects(machine: Machine) -> list[str]:
    whole = json.loads(dat(machine).read_text())
    return [entry["worktree"] for entry in json.loads(whole["server"])["projects"]["local"]]


def prepared(machine: Machine) -> Machine:
    folder = machine.root / "config/opencode"
    folder.mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text('{"includeProjects": true}')
    for name in ("notes", f"only-{machine.root.name}"):
        (machine.root / "home" / name).mkdir()
    return machine


def sync(*machines: Machine) -> Any:
    for machine in machines:
        result = machine.sidecar.run(CycleParams(), Task())
        assert "failed" not in result.config, result.warnings
    return result


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    a, b = prepared(machine("a")), prepared(machine("b"))
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    return a, b


def test_t17_projects_come_at_this_machines_folders_or_not_at_all(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    homes = [machine.root / "home" for machine in pair]
    last = {str(homes[0] / "app"): {"directory": str(homes[0] / "app"), "id": "ses_abc", "at": 50}}
    fill(a, [str(homes[0] / "app"), str(homes[0] / "notes"), str(homes[0] / "only-a"), "/srv/elsewhere"], last)
    before = json.loads(fill(b, [str(homes[1] / "only-b")], {str(homes[1] / "app"): {"directory": str(homes[1] / "app"), "id": "ses_old", "at": 40}}))
    sync(a, b)
    assert projects(b) == [str(homes[1] / name) for name in ("only-b", "app", "notes")], "another machine's folder, or too few"
    after = json.loads(dat(b).read_text())
    server, old = json.loads(after["server"]), json.loads(before["server"])
    assert {**server, "projects": {**server["projects"], "local": []}} == {**old, "projects": {**old["projects"], "local": []}}
    assert (after["unknown"], after["theme"]) == (before["unknown"], before["theme"])
    page = json.loads(after["layout.page"])
    assert page["lastProjectSession"] == {str(homes[1] / "app"): {"directory": str(homes[1] / "app"), "id": "ses_abc", "at": 50}}
    assert page["workspaceOrder"] == {"a": ["b"]}
    shown = subprocess.run(["git", "-C", str(remote), "grep", "of-", "main"], capture_output=True, check=False, env={"PATH": os.environ["PATH"]}).stdout
    assert shown == b"", "passwords of servers were pushed"
    sync(a, b)
    assert sync(a, b).up_to_date


def test_a_project_closed_here_stays_closed_here(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    fill(a, [str(a.root / "home/app"), str(a.root / "home/notes")])
    fill(b, [])
    sync(a, b)
    fill(b, [str(b.root / "home/app")])
    sync(b, a, b)
    assert projects(b) == [str(b.root / "home/app")]
    assert len(projects(a)) == 2


def test_while_the_desktop_runs_its_file_is_left_alone(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    fill(a, [str(a.root / "home/app")])
    before = fill(b, [])
    lock = dat(b).parent / "SingletonLock"
    lock.symlink_to(f"{socket.gethostname()}-{os.getpid()}")
    result = sync(a, b)
    assert dat(b).read_text() == before, "the Desktop would lose what it has in memory, or we what we wrote"
    assert any("Desktop is running" in warning for warning in result.warnings)
    lock.unlink()
    assert sync(b).config["in"] == 1
    assert projects(b) == [str(b.root / "home/app")]


@pytest.mark.parametrize("text", ["{", "[]", '{"server": 5}', '{"server": "{"}', '{"server": "{\\"projects\\": {\\"local\\": 5}}"}', ""])
def test_a_file_of_another_form_is_a_finding(pair: tuple[Machine, Machine], text: str) -> None:
    a, _ = pair
    dat(a).write_text(text)
    sync(a)
    assert dat(a).read_text() == text


def test_where_the_file_is_on_each_system(tmp_path: Path) -> None:
    for system, place in (
        ("linux", ".config/ai.opencode.desktop"),
        ("darwin", "Library/Application Support/ai.opencode.desktop"),
        ("win32", "AppData/Roaming/ai.opencode.desktop.beta"),
    ):
        home = tmp_path / system
        (home / place).mkdir(parents=True)
        assert desktop_file(home, {}, system) is None
        (home / place / "opencode.global.dat").write_text("{}")
        assert desktop_file(home, {}, system) == home / place / "opencode.global.dat"
    assert not is_running(tmp_path / "opencode.global.dat", {})
    (tmp_path / "SingletonLock").symlink_to("another-host-1")
    assert is_running(tmp_path / "opencode.global.dat", {})


# --- the merge --------------------------------------------------------------------------------------------------------
NAMES = ["one", "two", "three"]


def places(root: str, present: set[str]) -> Places:
    def name(path: str) -> Place | None:
        return {"home": path.removeprefix(f"{root}/")} if path.startswith(f"{root}/") else None

    def find(place: Place) -> str | None:
        return f"{root}/{place['home']}" if place.get("home") in present else None

    return Places(name, find, lambda directory, worktree: {"rest": directory.removeprefix(worktree)}, lambda token, worktree: worktree + str(token["rest"]))


LISTS = st.lists(st.sampled_from(NAMES), unique=True)
TIMES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5))


@given(st.lists(st.tuples(LISTS, TIMES, st.sets(st.sampled_from(NAMES))), min_size=2, max_size=4))
def test_every_machine_ends_with_the_projects_it_has_folders_for(machines: list[Any]) -> None:
    shared: Any = {}
    locals_, maps, seen = [], [], [[] for _ in machines]
    for number, (names, times, present) in enumerate(machines):
        root = f"/m{number}"
        maps.append(places(root, present | set(names)))
        last = {f"{root}/{name}": {"directory": f"{root}/{name}/src", "id": f"ses_{number}", "at": at} for name, at in times.items()}
        locals_.append(Local([{"worktree": f"{root}/{name}", "expanded": True} for name in names], last))
    for _ in range(4):
        for number, where in enumerate(maps):
            shared = share(shared, locals_[number], where)
            locals_[number], seen[number] = apply(shared, locals_[number], where, seen[number])
    everything = {name for names, _, _ in machines for name in names}
    for number, (names, _, present) in enumerate(machines):
        shown = [entry["worktree"] for entry in locals_[number].projects]
        assert set(shown) == {f"/m{number}/{name}" for name in everything & (present | set(names))}
        assert len(shown) == len(set(shown)), "a project is listed twice"
        again = share(shared, locals_[number], maps[number])
        assert again == shared
        assert {name: entry["id"] for name, entry in locals_[number].last.items() if name in shown} == {
            f"/m{number}/{key.removeprefix('home ')}": entry["id"]
            for key, entry in shared["lastSession"].items()
            if f"/m{number}/{key.removeprefix('home ')}" in shown
        }, "the last session is not the newest"
        assert apply(again, locals_[number], maps[number], seen[number])[0] == locals_[number], "it never settles"


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3)),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(["projects", "lastSession", "place", "home", "id", "at"]), inner)),
        max_leaves=12,
    )
)
def test_nonsense_from_the_vault_is_ignored(shared: Any) -> None:
    where = places("/m", {"one"})
    together = share(shared, Local([{"worktree": "/m/one"}], {}), where)
    found, _ = apply(together, Local([{"worktree": "/m/one"}], {}), where, [])
    assert all(entry["worktree"].startswith("/m/") for entry in found.projects)


def test_preferences_come_where_there_are_none(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    fill(a, [])
    fill(b, [])
    for machine, members in ((a, {"language": '{"locale":"de"}', "open.app": '{"app":"vscode"}', "settings": '"x"'}), (b, {"model": '{"user":[]}'})):
        dat(machine).write_text(json.dumps(json.loads(dat(machine).read_text()) | members, indent="\t"))
    sync(a, b, a)
    here, there = (json.loads(dat(machine).read_text()) for machine in (a, b))
    assert there["language"] == here["language"] == '{"locale":"de"}'
    assert here["model"] == '{"user":[]}'
    assert "open.app" not in there, "what one machine has installed was set on another"
    dat(b).write_text(json.dumps(there | {"language": '{"locale":"fr"}'}, indent="\t"))
    sync(b, a, b)
    assert json.loads(dat(a).read_text())["language"] == '{"locale":"de"}', "a machine's own choice was overwritten"
    assert json.loads(dat(b).read_text())["language"] == '{"locale":"fr"}'
    dat(b).write_text(json.dumps({name: text for name, text in there.items() if name != "language"} | {"model": '{"user":[{"key":"ghp_' + "a1" * 18 + '"}]}'}))
    sync(b)
    shown = subprocess.run(["git", "-C", str(remote), "grep", "ghp_", "main"], capture_output=True, check=False, env={"PATH": os.environ["PATH"]}).stdout
    assert shown == b"", "something that looks like a secret was pushed"
    assert sync(a, b).up_to_date


@pytest.mark.parametrize("text", [None, 1, "no json", "[]", '{"a": ' + '"x"' * 40_000 + "}", "[" * 100_000])
def test_preferences_of_a_hostile_vault_are_not_taken(text: Any) -> None:
    assert preferences_in({"preferences": {"language": text, "server": "{}", "model": "{}"}}) == {"model": "{}"}


RAW = st.sampled_from(
    [r'"{\"a\":  1}"', r'"\u00e4\/x"', '"{not json"', '  "spaced"', r'"{\"deep\":\"{\\\"x\\\":1}\"}"', "{}", "null", '"\\ud800"', "1e5", "[ 1,2 ]"]
)


@given(
    st.dictionaries(st.sampled_from(["theme", "layout", "a b", "ü", "default", "notification"]), RAW, max_size=5),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_every_other_member_stays_byte_for_byte(members: dict[str, str], first: bool, newline: str, with_language: bool) -> None:
    """As conf wrote it, or as anybody else did."""
    server = json.dumps(json.dumps({"list": [{"url": "u", "password": "p"}], "projects": {"local": []}, "x": "\u00e4"}))
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {raw}" for name, raw in members.items()]
    own = [f'"server": {server}', *(['"language": "{\\"locale\\":  \\"de\\"}"'] if with_language else [])]
    text = "{" + newline + f",{newline}".join("\t" + line for line in (own + lines if first else lines + own)) + newline + "}"
    place = {"home": "notes"}
    shared = {"version": 1, "projects": [{"place": place, "expanded": True}], "lastSession": {}, "preferences": {"language": '{"locale":"fr"}', "model": "{}"}}
    ws: Any = SimpleNamespace(home="/home/u", projects=dict, tools=SimpleNamespace(exists=lambda _: True))
    done = merge_projects(ws, TOOLS, text.encode(), json.dumps(shared).encode(), [], lambda: False)
    assert done.problem is None
    new = (done.mine or b"").decode()
    for line in lines + own[1:]:
        assert line in new, f"a member that is none of our business was rewritten: {line}"
    value = json.loads(new)
    assert json.loads(value["server"])["projects"]["local"] == [{"worktree": "/home/u/notes", "expanded": True}]
    assert json.loads(value["server"])["list"] == [{"url": "u", "password": "p"}]
    assert value["model"] == "{}"
    assert json.loads(value["language"])["locale"] == ("de" if with_language else "fr")
    assert merge_projects(ws, TOOLS, new.encode(), done.theirs, done.seen or [], lambda: False).mine == new.encode(), "it is written again and again"
