"""opencode.json on one machine, opencode.jsonc on the other: opencode reads both, the second over the first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import CycleParams, StatusParams
from protocol.trust import RestoreParams
from sidecar.adapters.config import jsonc
from sidecar.domain.task import Task
from tests.e2e.config.test_config_travels import CONFIG, encryption, everything_in, folder, get, pair, put, sync
from tests.support.machines import Machine

Make = Callable[..., Machine]
__all__ = ["encryption", "pair"]
NAMES = ("opencode.json", "opencode.jsonc")


def settings(machine: Machine) -> dict[str, Any]:
    """What opencode makes of the files; each must be there for a reason."""
    found: dict[str, Any] = {}
    for name in NAMES:
        if (folder(machine) / name).exists():
            found |= jsonc.parse((folder(machine) / name).read_bytes()).value
    return found


def called(machine: Machine) -> list[str]:
    return [name for name in NAMES if (folder(machine) / name).exists()]


def quiet(*machines: Machine) -> None:
    for machine in (*machines, *machines):
        result = machine.sidecar.run(CycleParams(), Task())
        assert result.up_to_date, f"the machines send each other the same for ever: {result}"


def differently(pair: tuple[Machine, Machine]) -> tuple[Machine, Machine]:
    """The same vault, two names."""
    a, b = pair
    put(a, "opencode.jsonc", CONFIG)
    put(b, "opencode.json", '{"theme": "dark", "plugin": ["two"]}')
    sync(a, b, a)
    return a, b


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_two_names_are_one_configuration(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = differently(pair)
    assert (called(a), called(b)) == (["opencode.jsonc"], ["opencode.json"]), "a second file, and opencode puts one over the other"
    for one in (a, b):
        assert (settings(one)["model"], settings(one)["theme"], sorted(settings(one)["plugin"])) == ("anthropic/claude", "dark", ["one", "two"])
    assert "// the one that works best" in get(b, "opencode.json")
    assert "verysecretvalue1" in get(a, "opencode.jsonc")
    assert b"verysecretvalue1" not in everything_in(remote)
    quiet(a, b)
    put(b, "opencode.json", get(b, "opencode.json").replace('"dark"', '"light"'))
    put(a, "opencode.jsonc", get(a, "opencode.jsonc").replace("anthropic/claude", "x/new"))
    sync(a, b, a)
    for one in (a, b):
        assert (settings(one)["model"], settings(one)["theme"]) == ("x/new", "light")
    quiet(a, b)


def test_a_new_name_stays_here_and_loses_nothing(pair: tuple[Machine, Machine]) -> None:
    a, b = differently(pair)
    (folder(b) / "opencode.json").rename(folder(b) / "opencode.jsonc")
    (folder(a) / "opencode.jsonc").rename(folder(a) / "opencode.json")
    before = settings(a), settings(b)
    sync(b, a, b)
    assert (settings(a), settings(b)) == before
    assert (called(a), called(b)) == (["opencode.json"], ["opencode.jsonc"])
    quiet(a, b)


def test_a_deletion_arrives_under_the_other_name_and_can_be_taken_back(pair: tuple[Machine, Machine]) -> None:
    a, b = differently(pair)
    wanted = get(b, "opencode.json")
    (folder(a) / "opencode.jsonc").unlink()
    sync(a)
    cycle = sync(b).cycle_id
    assert called(b) == []
    assert b.sidecar.restore(RestoreParams(cycle), Task()).files == ["config/opencode.jsonc"]
    assert get(b, "opencode.json") == wanted
    sync(b, a)
    assert settings(a)["theme"] == "dark", "what was taken back is not on the other machine"
    quiet(a, b)


def test_a_change_is_taken_back_under_the_other_name(pair: tuple[Machine, Machine]) -> None:
    a, b = differently(pair)
    put(a, "opencode.jsonc", get(a, "opencode.jsonc").replace("anthropic/claude", "x/wrong"))
    sync(a)
    cycle = sync(b).cycle_id
    assert settings(b)["model"] == "x/wrong"
    b.sidecar.restore(RestoreParams(cycle), Task())
    sync(b, a)
    assert settings(a)["model"] == settings(b)["model"] == "anthropic/claude"


def test_who_has_both_has_both_everywhere(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", '{"model": "x/low", "theme": "dark"}')
    put(a, "opencode.jsonc", '{"model": "x/high"}')
    sync(a, b)
    assert called(b) == list(NAMES)
    assert settings(b) == settings(a) == {"model": "x/high", "theme": "dark"}
    (folder(b) / "opencode.json").unlink()
    sync(b, a)
    assert called(a) == ["opencode.jsonc"], "one of two was deleted"
    quiet(a, b)


def test_a_second_file_in_the_vault_waits_with_a_remedy(pair: tuple[Machine, Machine], machine: Make) -> None:
    """It cannot come in: the names are the other way round here, and opencode would put the wrong one over the other."""
    a, b = differently(pair)
    put(a, "opencode.json", '{"model": "x/low", "share": "disabled"}')
    sync(a)
    result = sync(b)
    (warning,) = [text for text in result.warnings if "opencode.json" in text]
    assert "when you have renamed yours to opencode.jsonc" in warning
    assert any("renamed yours" in text for text in b.sidecar.preview(CycleParams(), Task()).warnings)
    assert any("renamed yours" in item.detail for item in b.sidecar.status(StatusParams(), Task()).attention)
    assert settings(b)["model"] == "anthropic/claude"
    put(b, "opencode.json", get(b, "opencode.json").replace('"dark"', '"light"'))
    sync(b, a)
    assert settings(a)["theme"] == "light", "everything else goes on"
    (folder(b) / "opencode.json").rename(folder(b) / "opencode.jsonc")
    sync(b)
    assert called(b) == list(NAMES)
    assert settings(b) | {"mcp": {}} == settings(a) | {"mcp": {}}
    quiet(a, b)


def test_a_second_file_here_stays_here_with_a_remedy(pair: tuple[Machine, Machine]) -> None:
    a, b = differently(pair)
    before = settings(a)
    put(b, "opencode.jsonc", '{"model": "x/here"}')
    result = sync(b)
    assert any("opencode.jsonc here stays here until both are one file" in text for text in result.warnings)
    sync(a, b)
    assert settings(a) == before, "what the vault had was taken for deleted"
    assert json.loads(get(b, "opencode.jsonc")) == {"model": "x/here"}
    (folder(b) / "opencode.jsonc").unlink()
    sync(b)
    assert b.sidecar.run(CycleParams(), Task()).warnings == []
    quiet(a, b)
