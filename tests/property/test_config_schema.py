"""Secrets, placeholders and merges on configurations made from opencode's own schema."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.adapters.config import jsonc
from sidecar.adapters.secrets.settings import looks_secret
from sidecar.app import Sidecar
from sidecar.domain.config_merge import MISSING, Merged, canonical, get, merge_values, put, same
from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_plan import ROWS, SETS
from sidecar.domain.config_secrets import Scrubbed, scrub, unscrub
from sidecar.services.config_files import FileMerge, FileMerger
from sidecar.settings import Settings
from tests.support.configs import PLACEHOLDERS, Config, configs

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "60"))
TOOLS = Sidecar(Settings.from_environ({"HOME": "/nowhere", "PATH": os.environ["PATH"]}))._config_tools()
FEW = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def clean(value: Any, known: Any = None, names: dict[str, str] | None = None) -> Scrubbed:
    return scrub(value, known, names or {}, lambda name: name == "HOME", looks_secret)


def hides(text: str, config: Config) -> None:
    for secret in config.secrets:
        assert secret not in text, f"a secret was pushed: {secret} in {text}"


@FEW
@given(configs())
def test_no_secret_is_left_and_all_come_back(config: Config) -> None:
    done = clean(config.value)
    hides(json.dumps(done.value), config)
    assert unscrub(done.value, done.names) == config.value, "a secret was lost, or came back in another place"
    assert set(config.secrets) <= {secret for secret in config.secrets if any(secret in text for text in done.names.values())}
    again = clean(done.value)
    assert again.value == done.value, "what has been taken out once is taken out again"
    assert not again.names


@FEW
@given(configs())
def test_placeholders_of_the_user_s_own_stay(config: Config) -> None:
    done = clean(config.value)
    before, after = json.dumps(config.value), json.dumps(done.value)
    for text in ("{env:HOME}", "{env:MY_TOKEN}", "{file:~/.key}", "{env:ORG}"):
        assert before.count(text) == after.count(text), f"{text} was replaced, or one was made that means something else"
    assert not done.names.keys() & set(re.findall(r"\{env:([^}]*)\}", before)), "a name would mean two things"


@FEW
@given(configs(), configs())
def test_names_are_stable_and_mean_one_thing(first: Config, second: Config) -> None:
    one = clean(first.value)
    assert clean(first.value, one.value, one.names).value == one.value, "the names changed: every cycle would push"
    other = clean(second.value, one.value, one.names)
    assert unscrub(other.value, one.names | other.names) == second.value
    hides(json.dumps(other.value), second)


@FEW
@given(configs())
def test_another_machine_keeps_its_own_values(config: Config) -> None:
    here, there = clean(config.value), config.elsewhere()
    done = clean(there.value, here.value, {})
    assert done.value == here.value, "each machine's own value would be a change for the other"
    assert unscrub(here.value, done.names) == there.value, "a machine got another's secret, or lost its own"


def written(value: Any) -> bytes:
    """As a person writes it: with comments and a comma too many."""
    lines = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
    lines = [f"{line} // note {number}" if line.endswith((",", "{", "[")) else line for number, line in enumerate(lines)]
    return ("\n".join(["// mine", *lines]) + "\n").encode()


class Machine:
    """What one machine remembers of one file between cycles."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.base: bytes | None = None
        self.apart = False

    def sync(self, mine: bytes | None, theirs: bytes | None) -> FileMerge:
        merger = FileMerger(TOOLS, Overrides(names=dict(self.names)), sealed=False, filled=self.names)
        done = merger.merge(ROWS[0], "config/opencode.json", self.base, mine, theirs, main=True, apart=self.apart)
        assert done.problem is None
        self.names, self.base, self.apart = merger.names, done.base, done.apart
        return done


@FEW
@given(configs(), configs())
def test_files_keep_their_comments_and_push_no_secret(mine: Config, theirs: Config) -> None:
    text, machine = written(mine.value), Machine()
    first = machine.sync(text, None)
    pushed = first.theirs or b""
    assert first.mine == text, "a file that was only read was changed"
    hides(pushed.decode(), mine)
    notes = [[part[start:end] for start, end in jsonc.parse(part).comments] for part in (text, pushed)]
    assert notes[0] == notes[1], "a comment does not travel"
    other = clean(theirs.value, jsonc.parse(pushed).value).value  # another machine has seen what was pushed
    second = machine.sync(text, written(other))
    hides((second.theirs or b"").decode(), mine)
    third = machine.sync(second.mine, second.theirs)
    assert (third.mine, third.theirs) == (second.mine, second.theirs), "it never settles"


def merge(base: Any, mine: Any, theirs: Any) -> Merged:
    return merge_values(base, mine, theirs, lambda path: path in SETS)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """A configuration, and what two people made of it."""
    base, pool = draw(configs(secrets=False)).value, draw(configs(secrets=False)).value
    sides = []
    for _ in range(2):
        side = json.loads(json.dumps(base))
        for key in draw(st.lists(st.sampled_from(sorted({*base, *pool}) or ["model"]), max_size=3, unique=True)):
            if key in pool and draw(st.booleans()):
                side[key] = {**side[key], **pool[key]} if isinstance(side.get(key), dict) and isinstance(pool[key], dict) else pool[key]
            else:
                side.pop(key, None)
        sides.append(side)
    return base, sides[0], sides[1]


def _unordered(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {key: _unordered(inner, (*path, key)) for key, inner in value.items()}
    return sorted(map(canonical, value)) if isinstance(value, list) and path in SETS else value


def _leaves(value: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(value, dict) and value:
        return {path: leaf for key, inner in value.items() for path, leaf in _leaves(inner, (*at, key)).items()}
    return {at: value}


@FEW
@given(edits())
def test_merging_keeps_its_laws(sides: tuple[Any, Any, Any]) -> None:
    base, mine, theirs = sides
    assert all(same(side, base) for side in (merge(base, base, base).mine, merge(base, base, base).theirs))
    assert same(merge(base, mine, base).mine, mine)
    assert same(merge(base, base, theirs).mine, theirs)
    assert same(merge(base, mine, mine).mine, mine)
    one, other = merge(base, mine, theirs), merge(base, theirs, mine)
    assert same(_unordered(one.mine), _unordered(other.theirs)), "it matters which machine syncs first"
    assert {conflict.path for conflict in one.conflicts} == {conflict.path for conflict in other.conflicts}
    again = merge(one.base, one.mine, one.theirs)
    assert same(again.mine, one.mine)
    assert same(again.theirs, one.theirs)
    torn = [conflict.path for conflict in one.conflicts]
    for side in (mine, theirs):
        for path, leaf in _leaves(side).items():
            changed = bool(path) and leaf != {} and not same(get(base, path), leaf)
            if changed and path not in SETS and not any(path[: len(at)] == at or at[: len(path)] == path for at in torn):
                assert same(get(one.mine, path), leaf), f"what a person set is lost: {path}"
    here, there = one.mine, one.theirs
    for conflict in one.conflicts:
        here, there = put(here, conflict.path, MISSING), put(there, conflict.path, MISSING)
    assert same(here, there)


def test_the_pool_has_what_the_laws_look_for() -> None:
    """A law about secrets that meets none says nothing."""
    seen: set[str] = set()

    @settings(max_examples=250, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(configs())
    def look(config: Config) -> None:
        text = json.dumps(config.value)
        seen.update(
            word for word in ("headers", "oauth", "environment", "apiKey", "--token", "ghp_", "sk-ant", "u:hidden", "api_key=", *PLACEHOLDERS) if word in text
        )

    look()
    assert seen >= {"headers", "environment", "apiKey", "--token", "ghp_", "sk-ant", "u:hidden", "api_key=", *PLACEHOLDERS}
