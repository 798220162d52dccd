"""Taking secrets out of a row and putting them back: the text around them stays as it was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.secrets import decisions, find
from sidecar.domain.errors import SidecarError
from sidecar.domain.secrets import Decisions, exchanged, marks_in, masked, parsed, strings, unmasked
from sidecar.domain.turns import turn_start
from tests.support.planted import samples

KEPT = Decisions(b"k" * 32)
TEXT = st.text(max_size=30)
VALUES = st.recursive(TEXT | st.integers() | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def write(value: object) -> str:
    """As JSON.stringify does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(st.dictionaries(TEXT, VALUES, max_size=4), TEXT, TEXT, st.text(min_size=1, max_size=20))
def test_what_is_taken_out_comes_back_to_the_letter(row: dict[str, object], before: str, after: str, secret: str) -> None:
    text = f"{before}{secret}{after}"
    raw = write({**row, "text": text, "again": [text]})
    without = masked(text, [(len(before), len(before) + len(secret), "github")], KEPT.fingerprint)
    published = exchanged(raw, {text: without})
    assert parsed(published)["text"] == without
    if text == secret or text not in row:
        restored = unmasked(published, {KEPT.fingerprint(secret): secret})
        assert json.loads(restored)["text"] == text
        assert json.loads(restored)["again"] == [text]


def test_every_kind_comes_back() -> None:
    """A rule whose name a mark cannot carry would leave the text taken out for good."""
    for sample in samples(seed=3):
        spans = find(sample.text)
        known = {KEPT.fingerprint(sample.text[start:end]): sample.text[start:end] for start, end, _ in spans}
        assert unmasked(masked(sample.text, spans, KEPT.fingerprint), known) == sample.text, spans


def test_other_members_keep_their_spelling() -> None:
    """Numbers that no parser here could write again, and names equal to a secret's text, stay."""
    raw = '{ "id":12345678901234567890.10, "finish" : "stop","text":"key is finish" }'
    assert exchanged(raw, {"key is finish": "key is [x]"}) == raw.replace("key is finish", "key is [x]")


def test_a_fingerprint_says_nothing_without_the_key() -> None:
    other = Decisions(b"o" * 32)
    assert KEPT.fingerprint("hunter") != other.fingerprint("hunter")
    assert marks_in({"a": ["x [redacted:github:0123456789abcdef] y"]}) == {"0123456789abcdef"}
    assert unmasked("[redacted:github:0123456789abcdef]", {}) == "[redacted:github:0123456789abcdef]"


def test_paths_show_no_names_that_could_be_secrets() -> None:
    found = dict(strings({"ok": {"odd name!": "v", "hidden": "w"}}, "data", lambda name: name != "hidden"))
    assert set(found) == {"data.*", "data.ok.*"}


def test_a_turn_begins_with_its_question() -> None:
    roles = [json.dumps({"role": role}) for role in ("user", "assistant", "assistant", "user", "assistant")] + ["not json"]
    assert [turn_start(roles, index) for index in range(6)] == [0, 0, 0, 3, 3, 3]


def test_decisions_survive_and_damage_is_not_guessed_at(tmp_path: Path) -> None:
    """An unreadable policy taken for the default one would publish what was to be held."""
    path = tmp_path / "secrets.json"
    first = decisions.load(path, keep=True)
    assert decisions.load(path, keep=True).key == first.key
    assert path.stat().st_mode & 0o777 == 0o600
    first.policy = "hold"
    first.sessions.add("ses_1")
    decisions.save(path, first)
    assert decisions.load(path, keep=False) == first
    for damage in ("{", '{"key": "00"}', path.read_text().replace("hold", "burn")):
        path.write_text(damage)
        with pytest.raises(SidecarError):
            decisions.load(path, keep=True)


@pytest.mark.parametrize(
    ("encryption", "chosen", "expected"), [("none", None, "hold"), ("aes-256-gcm", None, "warn"), ("none", "warn", "warn"), ("aes-256-gcm", "redact", "redact")]
)
def test_the_default_follows_from_who_can_read_the_vault(encryption: str, chosen: str | None, expected: str) -> None:
    assert Decisions(b"", chosen).policy_for(encryption) == expected
