"""Folders of one machine on another, in both flavours of path."""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.paths import PortablePath, below, flavour, normalise, session_path, to_local, to_portable

EVERYWHERE = lambda _path: True  # noqa: E731
NOWHERE = lambda _path: False  # noqa: E731


@pytest.mark.parametrize(
    ("directory", "worktree", "home", "expected"),
    [
        ("/home/ada/app/src", "/home/ada/app", "/home/ada", ("project", "src", "posix")),
        ("/home/ada/app", "/home/ada/app", "/home/ada", ("project", "", "posix")),
        ("/home/ada/notes", "/home/ada/app", "/home/ada", ("home", "notes", "posix")),
        ("/home/ada/application", "/home/ada/app", "/home/ada", ("home", "application", "posix")),
        ("/srv/x", "/", "/home/ada", ("absolute", "/srv/x", "posix")),
        (r"C:\Users\Ada\app\src", "C:/Users/Ada/app", "C:/Users/Ada", ("project", "src", "windows")),
        ("c:/users/ada/App/Src", "C:/Users/Ada/app", "C:/Users/Ada", ("project", "Src", "windows")),
        (r"\\server\share\x", "", "C:/Users/Ada", ("absolute", "//server/share/x", "windows")),
    ],
)
def test_a_folder_is_named_by_what_it_lies_in(directory: str, worktree: str, home: str, expected: tuple[str, str, str]) -> None:
    assert tuple(to_portable(directory, worktree, home).values()) == expected


def test_case_decides_on_posix_and_not_on_windows() -> None:
    assert below("/home/ada/App", "/home/ada/app") is None
    assert below("C:/APP/x", "c:/app") == "x"


@pytest.mark.parametrize("home", ["/home/bob", "C:/Users/Bob"])
@given(
    portable=st.fixed_dictionaries(
        {
            "base": st.sampled_from(["project", "home", "absolute", "odd"]),
            "rest": st.text(st.sampled_from("ab./\\:C\n☃"), max_size=12),
            "os": st.sampled_from(["posix", "windows"]),
        }
    ),
    in_project=st.booleans(),
)
def test_what_comes_out_is_of_this_system_and_inside_what_is_known(home: str, portable: Any, in_project: bool) -> None:
    worktree = f"{home}/code/app" if in_project else "/"
    local = to_local(PortablePath(**portable), worktree, home, NOWHERE)
    assert flavour(local) == flavour(home), "a path of another system makes the whole list of sessions fail"
    assert local == home or local.startswith((f"{home}/", worktree)), "a record of another machine chose a folder outside"
    assert ".." not in local.split("/")


def test_a_folder_that_is_not_here_becomes_the_nearest_one_that_is() -> None:
    there = {"/home/bob/app", "/home/bob/app/src"}
    portable = PortablePath(base="project", rest="src/deep/er", os="posix")
    assert to_local(portable, "/home/bob/app", "/home/bob", there.__contains__) == "/home/bob/app/src"


def test_an_absolute_folder_stays_only_on_the_same_system_and_if_it_is_there() -> None:
    portable = PortablePath(base="absolute", rest="/srv/x", os="posix")
    assert to_local(portable, "/", "/home/bob", EVERYWHERE) == "/srv/x"
    assert to_local(portable, "/", "/home/bob", NOWHERE) == "/home/bob"
    assert to_local(portable, "/", "C:/Users/Bob", EVERYWHERE) == "C:/Users/Bob"


@given(st.lists(st.text(st.sampled_from("aB1 ☃'"), min_size=1, max_size=5).filter(str.strip), max_size=4), st.booleans())
def test_there_and_back_on_the_same_machine_is_the_same_folder(parts: list[str], windows: bool) -> None:
    home = "C:/Users/Ada" if windows else "/home/ada"
    directory = "/".join([f"{home}/app", *parts])
    raw = str(PureWindowsPath(directory)) if windows else directory
    assert to_local(to_portable(raw, f"{home}/app", home), f"{home}/app", home, EVERYWHERE) == normalise(directory)


def test_the_path_column_follows_from_the_folder() -> None:
    assert session_path("/home/ada/app/src", "/home/ada/app") == "src"
    assert session_path("/home/ada/app", "/home/ada/app") == ""
    assert session_path("/home/ada/notes", "/") == "home/ada/notes"


def test_a_folder_from_elsewhere_never_leads_out_of_the_project_whatever_the_slashes() -> None:
    portable = PortablePath(base="project", rest="a\\..\\..\\..\\Windows", os="windows")
    assert to_local(portable, "C:/Users/Ada/app", "C:/Users/Ada", EVERYWHERE) == "C:/Users/Ada/app/a/Windows"


def test_an_absolute_folder_that_is_none_is_not_taken() -> None:
    for rest, system, home in (("srv/x", "posix", "/home/bob"), ("", "posix", "/home/bob"), ("x\\y", "windows", "C:/Users/Bob")):
        assert to_local(PortablePath(base="absolute", rest=rest, os=system), "/", home, EVERYWHERE) == home
