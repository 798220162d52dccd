"""Names from a remote that may not become files here, and the plan's own paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.adapters.config import files
from sidecar.domain.config_names import clashes, problem_with_name
from sidecar.domain.config_plan import ROWS, SWITCHES, ConfigSettings, excluded, may_travel, policy_of, row_of, rows_for, runs_code, settings_from

ON = SWITCHES | {"includeConfig": True}
HOSTILE = [
    *("", "/etc/passwd", "../x", "config/../../x", "config//x", "config/./x", "C:/x", "config/a:b", "config\\x", "config/a\\b", "config/CON", "config/aux.md"),
    *("config/com1.txt", "config/x.", "config/x ", "config/a\x00b", "config/a\nb", "config/.git/config", "config/.GIT/x", "config/git~1/x", "config/a\u202eb"),
    *("config/.g\u200cit/x", "config/" + "a" * 300, "config/" + "a/" * 60 + "b", "config/a*b", "config/\udcff"),
]


@pytest.mark.parametrize("path", HOSTILE)
def test_such_a_name_is_refused(path: str) -> None:
    assert problem_with_name(path) is not None


@pytest.mark.parametrize(
    "path", ["config/opencode.json", "config/agents/Überprüfung 1.md", "config/skills/a b/c-d_e.tar.gz", "config/.agents/x", "config/コマンド/x.md"]
)
def test_such_a_name_is_fine(path: str) -> None:
    assert problem_with_name(path) is None


def test_two_spellings_of_one_name_are_found() -> None:
    assert clashes(["a/X.md", "a/x.md", "A/y.md", "b/\u00e9", "b/e\u0301", "c/ss", "c/\u00df"]).keys() == {"a/X.md", "a/x.md", "b/\u00e9", "c/\u00df"}


def test_t22_singular_and_plural_folders_are_in_the_plan() -> None:
    for name in ("agent", "command", "mode", "tool", "plugin", "theme", "skill"):
        for folder in (name, f"{name}s"):
            assert row_of(f"config/{folder}/x.md", ROWS) is not None, f"{folder}/ would silently not travel"


def test_what_opencode_installs_itself_stays() -> None:
    plugin, skills = row_of("config/plugin/x", ROWS), row_of("config/skills/x", ROWS)
    assert plugin is not None
    assert skills is not None
    assert excluded(plugin, "package.json")
    assert excluded(plugin, "node_modules/x/y.js")
    assert not excluded(plugin, "mine.ts")
    assert not excluded(skills, "pdf/package.json"), "a skill's own file would be left out"


def test_credentials_are_off_until_asked_for() -> None:
    assert rows_for(ConfigSettings()) == [], "something travels though nobody asked for it"
    names = {row.repo for row in rows_for(ConfigSettings(ON))}
    assert names.isdisjoint({"data/auth.json", "data/mcp-auth.json", "state/prompt-history.jsonl"})
    assert "config/opencode.json" in names
    assert not ConfigSettings().on
    assert all(row.secret for row in ROWS if row.root == "data")


def test_settings_that_are_not_understood_are_named() -> None:
    chosen, problems = settings_from({"includeConfig": True, "includeSecrets": "yes", "extraConfigPaths": [1], "repo": {"url": "x"}})
    assert chosen.on
    assert not chosen.switches["includeSecrets"]
    assert len(problems) == 2


def test_kinds_of_files() -> None:
    row = row_of("config/skills/x", ROWS)
    assert row is not None
    assert policy_of(row, "config/skills/x.json", b"{}") == "json"
    assert policy_of(row, "config/skills/x.md", b"text") == "text"
    assert policy_of(row, "config/skills/x.bin", b"\x00") == "whole"
    assert policy_of(row, "config/skills/x.txt", b"\xff") == "whole"


def test_what_can_make_opencode_run_something_is_marked() -> None:
    assert runs_code("config/plugins/a.ts")
    assert runs_code("config/opencode.json", ["mcp"])
    assert not runs_code("config/opencode.json", ["theme"])
    assert not runs_code("config/themes/a.json")


def test_what_a_crash_left_half_written_does_not_travel_and_goes(tmp_path: Path) -> None:
    files.write(tmp_path / "a.md", b"old", private=False)
    crash = "import os, sys, pathlib; from sidecar.adapters.config import files; os.replace = lambda *_: os._exit(9)"
    crash += "; files.write(pathlib.Path(sys.argv[1]), b'new', private=False)"
    assert subprocess.run([sys.executable, "-c", crash, str(tmp_path / "a.md")], check=False).returncode == 9
    (left,) = (path.name for path in tmp_path.iterdir() if path.name != "a.md")
    row = row_of("config/agents/a.md", ROWS)
    assert row is not None
    assert excluded(row, left)
    assert not may_travel(f"config/agents/{left}"), "half a file goes to the other machines"
    assert (tmp_path / "a.md").read_bytes() == b"old"
    files.write(tmp_path / "a.md", b"new", private=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]
