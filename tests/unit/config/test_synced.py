"""Extra paths in opencode-synced's manifests: the same path under every home, and nothing that a manifest says leads anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.config_synced import Entry, ExtraPath, entries_of, extra_name, home_of, in_pieces, resolve, written

FOLDER = "config/extra"
HOME = "/home/ada"


def entry(source: str, name: str, **more: Any) -> dict[str, Any]:
    return {"sourcePath": source, "repoPath": f"{FOLDER}/{name}", **more}


def found(*paths: str, home: str = HOME, manifest: list[Any] | None = None, names: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    entries, _ = entries_of({"entries": manifest or []}, FOLDER)
    return [(extra.local, extra.repo.removeprefix(f"{FOLDER}/")) for extra in resolve(paths, home, FOLDER, entries, names)]


def test_names_are_those_of_opencode_synced() -> None:
    assert extra_name("/home/ada/.vim") == "home_ada_.vim-6040c73b"
    assert extra_name("/" + "x" * 300).startswith("x" * 80 + "-")


def test_extra_paths_have_one_name_under_every_home() -> None:
    here = found("~/dots/a", "/home/u/dots/b", home="/home/u")
    there = found("/Users/me/dots/a", "~/dots/b", home="/Users/me")
    assert [name for _, name in here] == [name for _, name in there]
    assert [local for local, _ in here] == ["/home/u/dots/a", "/home/u/dots/b"]


@pytest.mark.parametrize(
    "source",
    [
        "/home/ada/.vim",
        "/home/bob/.vim",
        "/Users/bob/.vim",
        "/root/.vim",
        "/var/home/bob/.vim",
        "C:\\Users\\Bob\\.vim",
        "c:/users/bob/.VIM",
        "/export/ada/.vim",
        "~/.vim",
    ],
)
def test_the_path_of_another_home_is_this_one(source: str) -> None:
    assert found("~/.vim", manifest=[entry(source, "x-1")]) == [("/home/ada/.vim", "x-1")]


@pytest.mark.parametrize("source", ["/home/bob/dots/.vim", "/srv/.vim", "/home/ada", "/home/bob/.vimrc", "/home/.vim", "/etc/passwd"])
def test_another_path_is_not(source: str) -> None:
    assert found("~/.vim", manifest=[entry(source, "x-1")]) != [("/home/ada/.vim", "x-1")]


def test_a_path_of_this_very_machine_goes_first() -> None:
    manifest = [entry("/home/bob/.vim", "b-1"), entry("/home/ada/.vim", "a-1")]
    assert found("~/.vim", manifest=manifest) == [("/home/ada/.vim", "a-1")]
    assert found("/srv/p", manifest=[entry("/srv/p", "p-1")]) == [("/srv/p", "p-1")]


def test_on_windows() -> None:
    home = "C:\\Users\\Ada"
    assert found("~/.vim", home=home, manifest=[entry("c:\\users\\ada\\.vim", "x-1", repoPath="config\\extra\\x-1")]) == [("C:/Users/Ada/.vim", "x-1")]
    assert found("~/.vim", home=home, manifest=[entry("/home/bob/.vim", "x-1")]) == [("C:/Users/Ada/.vim", "x-1")]


@pytest.mark.parametrize(
    "bad",
    [
        entry("/home/ada/.vim", "x", repoPath="config/agents"),
        entry("/home/ada/.vim", "x", repoPath="config/extra/../../data/auth.json"),
        entry("/home/ada/.vim", "x", repoPath="/etc/passwd"),
        entry("/home/ada/.vim", "a/b"),
        entry("/home/ada/.vim", ""),
        entry("/home/ada/.vim", "CON"),
        entry("/home/ada/.vim", ".git"),
        entry("/home/bob/../ada/.vim", "x"),
        entry(".vim", "x"),
        entry("/home/ada/.vim\0", "x"),
        entry("/home/ada/.vim\ud800", "x"),
        {"sourcePath": 1, "repoPath": "config/extra/x"},
        {"sourcePath": "/home/ada/.vim"},
        "text",
        None,
        [],
    ],
)
def test_a_hostile_entry_is_named_and_not_used(bad: Any) -> None:
    entries, problems = entries_of({"entries": [bad, entry("/home/ada/.vim", "good-1")]}, FOLDER)
    assert [one.repo for one in entries] == [f"{FOLDER}/good-1"], "a manifest decided where something is written"
    assert len(problems) == 1


@pytest.mark.parametrize("manifest", [None, [], "x", {}, {"entries": {}}, {"entries": "x"}])
def test_a_manifest_of_another_form_is_named(manifest: Any) -> None:
    assert entries_of(manifest, FOLDER) == ([], ["it has no list of entries"])


def test_two_paths_never_share_a_name() -> None:
    """Else the files of one would be mixed with those of the other."""
    first = found("~/.a", "~/.b")[0][1]
    hostile = [entry("/home/ada/.a", "x-1"), entry("/home/ada/.b", "x-1")]
    assert len({name for _, name in found("~/.a", "~/.b", manifest=hostile)}) == 2
    assert len({name for _, name in found("~/.b", "~/.a", manifest=[entry("/home/ada/.b", first)])}) == 2
    assert found("~/.a", "/home/ada/.a", "~/.a/") == [("/home/ada/.a", first)]


def test_what_others_wrote_stays_and_every_home_gets_an_entry() -> None:
    other = entry("/srv/theirs", "t-1", type="file", mode=0o640)
    known = entry(
        "/home/bob/.vim", "v-1", type="dir", mode=0o750, items=[{"relativePath": "a", "type": "file", "mode": 0o640}, {"relativePath": "gone", "type": "file"}]
    )
    manifest = {"entries": [other, "rubbish", known], "more": 1}
    extras = [ExtraPath("/home/ada/.vim", f"{FOLDER}/v-1", frozenset({"/home/bob/.vim"}))]
    new = written(manifest, FOLDER, extras, ["/home/ada", "C:/Users/Cyd"], {f"{FOLDER}/v-1": {"a": False, "d/b": True}})
    assert new["entries"][:2] == [other, "rubbish"]
    assert new["more"] == 1
    assert new["entries"][2]["items"] == [{"relativePath": "a", "type": "file", "mode": 0o640}, {"relativePath": "d/b", "type": "file", "mode": 0o755}]
    assert {one["sourcePath"] for one in new["entries"][2:]} == {"/home/bob/.vim", "/home/ada/.vim", "C:\\Users\\Cyd\\.vim"}
    assert {one["repoPath"] for one in new["entries"][2:]} == {f"{FOLDER}/v-1"}
    again = [ExtraPath("/home/ada/.vim", f"{FOLDER}/v-1", frozenset({"/home/bob/.vim", "/home/ada/.vim", "C:/Users/Cyd/.vim"}))]
    assert written(new, FOLDER, again, ["/home/ada", "C:/Users/Cyd"], {f"{FOLDER}/v-1": {"a": False, "d/b": True}}) == new, "it would be pushed for ever"


def test_new_secrets_are_for_their_owner_alone() -> None:
    extras = [ExtraPath("/home/ada/.k", "secrets/extra/k-1")]
    assert written({}, "secrets/extra", extras, [HOME], {"secrets/extra/k-1": {"": False}})["entries"][0]["mode"] == 0o600


NAMES = st.sampled_from([".vim", ".a", "b/c"])
HOMES = st.sampled_from(["/home/ada", "/home/bob", "/Users/cyd", "C:/Users/Dan", "/root"])


@given(st.lists(st.tuples(HOMES, NAMES), max_size=6), HOMES, st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_a_manifest_that_ours_wrote_names_every_path_for_every_home(before: list[tuple[str, str]], home: str, paths: list[str]) -> None:
    entries = [Entry(f"{where}/{name}", f"{FOLDER}/{extra_name(f'{where}/{name}')}") for where, name in before]
    raw = {"entries": [{"sourcePath": one.source, "repoPath": one.repo} for one in entries]}
    listed, problems = entries_of(raw, FOLDER)
    assert not problems
    extras = resolve([f"~/{name}" for name in paths], home, FOLDER, listed, ())
    assert len({extra.repo for extra in extras}) == len(paths)
    homes = [home, *sorted({where for where, _ in before} - {home})]
    new = written(raw, FOLDER, extras, homes, {extra.repo: {"f": False} for extra in extras})
    again, problems = entries_of(new, FOLDER)
    assert not problems
    for where in homes:
        there = resolve([f"~/{name}" for name in paths], where, FOLDER, again, ())
        for one, extra in zip(there, extras, strict=True):
            assert f"{where}/{one.local.removeprefix(f'{where}/')}" in {known.source for known in again if known.repo == extra.repo}
    assert resolve([f"~/{name}" for name in paths], home, FOLDER, again, ())[0].repo == extras[0].repo


def test_a_home_is_told_by_its_form() -> None:
    assert home_of("/home/bob/.vim", HOME) == "/home/bob"
    assert home_of("/nfs/people/ada/.vim", HOME) == "/nfs/people/ada"
    assert home_of("/srv/x", HOME) is None


def test_a_pointer_to_pieces_is_known() -> None:
    assert in_pieces(b'{"format":"opencode-synced-chunks","version":1}\n')
    assert not in_pieces(b"a text about opencode-synced-chunks")
