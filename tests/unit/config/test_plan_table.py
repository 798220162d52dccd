"""The plan is a table, and the documentation shows the same one."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.domain.config_plan import CONFIG, DATA, DESKTOP, HOME, ROWS, STATE, SWITCHES
from sidecar.domain.config_synced import MANIFESTS

DOCS = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
KINDS = {
    *((CONFIG, name) for name in ("opencode.json", "opencode.jsonc", "tui.json", "tui.jsonc", "AGENTS.md")),
    *((CONFIG, f"{name}{plural}") for name in ("agent", "command", "mode", "tool", "plugin", "theme", "skill") for plural in ("", "s")),
    (HOME, ".agents"),
    *((STATE, name) for name in ("model.json", "prompt-history.jsonl", "prompt-stash.jsonl")),
    *((DATA, name) for name in ("auth.json", "mcp-auth.json")),
}
"""Everything of a set-up that travels, but for paths of the user's own and the Desktop's file."""


def table() -> list[list[str]]:
    """The cells of the table of what travels, below its head."""
    rows = DOCS.split("## What travels")[1].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_kind_has_a_row_of_its_own() -> None:
    assert {(row.root, row.local) for row in ROWS} == KINDS
    assert len({row.repo for row in ROWS}) == len(ROWS)


def test_what_is_secret_is_off_until_asked_for() -> None:
    for row in ROWS:
        assert row.secret == (row.root == DATA or row.local.startswith("prompt-")), row.local
        assert not (row.secret and row.default), f"{row.local} leaves the machine although nobody asked"


def test_the_documentation_has_the_plan_s_rows_and_no_others() -> None:
    shown = {}
    for what, _, vault, setting in table():
        for name in named(what):
            shown[name.removeprefix("~/")] = (named(vault)[0], named(setting)[0], "(on)" in setting)
    for row in ROWS:
        vault, setting, default = shown.pop(row.local)
        assert row.repo in (vault, f"{vault.rstrip('/')}/{row.local}"), f"{row.local} is elsewhere in the vault"
        assert setting == (row.setting or "includeConfig"), f"something else turns {row.local} on"
        assert default == (row.default and row.setting is not None), f"{row.local} has another default"
    assert not shown, "the documentation promises what does not travel"


def test_the_documentation_names_every_setting_with_its_default() -> None:
    settings = " ".join(row[3] for row in table())
    for name, default in SWITCHES.items():
        where = DOCS if name == "autoCompact" else settings  # which is about no file that travels
        assert f"`{name}` ({'on' if default else 'off'})" in where, name
    for place in (*MANIFESTS, DESKTOP):
        assert place in " ".join(row[2] for row in table()), f"nobody is told of {place}"
