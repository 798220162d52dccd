"""Who can read the remote: asked when it matters, and no answer given for one address counts for another."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.git import RemoteUrl, check_remote_url
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.privacy import ASK_AGAIN_MS, RETRY_MS, PrivacyGate, fingerprint

HUB, OTHER, FOLDER = (check_remote_url(text) for text in ("https://github.com/ada/vault.git", "https://git.example.org/ada/vault", "/vaults/mine.git"))


@dataclass
class World:
    """GitHub as it is, and the time."""

    visibility: str = "unknown"
    now: int = 1_000_000_000_000
    asked: int = 0
    kept: bytes | None = None
    gate: PrivacyGate = field(init=False)

    def __post_init__(self) -> None:
        self.gate = PrivacyGate(lambda: self.kept, self._save, self._ask, lambda: self.now)

    def _save(self, data: bytes) -> None:
        self.kept = data

    def _ask(self, _url: RemoteUrl, _task: Task) -> str:
        self.asked += 1
        return self.visibility

    def goes(self, url: RemoteUrl = HUB, *, acknowledged: bool | None = None) -> bool:
        """Whether something readable may go there; `acknowledged` is None for a later push."""
        try:
            if acknowledged is None:
                self.gate.recheck(url, Task())
            else:
                self.gate.require(url, Task(), acknowledged=acknowledged)
        except SidecarError:
            return False
        return True


@pytest.mark.parametrize(
    ("visibility", "acknowledged", "goes"),
    [
        ("private", False, True),
        ("public", False, False),
        ("public", True, False),
        ("internal", False, False),
        ("internal", True, True),
        ("unknown", False, False),
        ("unknown", True, True),
    ],
)
def test_what_may_go_where(visibility: str, acknowledged: bool, goes: bool) -> None:
    world = World(visibility)
    assert world.goes(acknowledged=acknowledged) is goes
    assert world.goes() is goes


def test_a_folder_is_never_asked_about() -> None:
    world = World("public")
    assert world.goes(FOLDER, acknowledged=False)
    assert world.goes(FOLDER)
    assert (world.asked, world.kept) == (0, None)


def test_a_repository_that_becomes_public_is_found_within_a_day_and_believed_at_once_when_it_is_private_again() -> None:
    world = World("private")
    assert world.goes(acknowledged=True)
    world.visibility = "public"
    world.now += ASK_AGAIN_MS - 1
    assert (world.goes(), world.asked) == (True, 1)
    world.now += 1
    assert not world.goes(), "conversations go on to where everybody reads them"
    assert not world.goes()
    assert not world.goes(acknowledged=True), "the user's word outweighed GitHub's"
    world.visibility = "private"
    assert world.goes()


def test_while_nobody_answers_what_was_seen_counts_and_is_asked_again_soon() -> None:
    world = World("private")
    assert world.goes(acknowledged=False)
    world.visibility, world.now = "unknown", world.now + ASK_AGAIN_MS
    assert world.goes(), "a machine without a network stopped"
    world.visibility, world.now = "public", world.now + RETRY_MS
    assert not world.goes()
    world.visibility = "unknown"
    assert not world.goes(), "what was seen to be public counts as private again because nobody answers"


def test_a_clock_that_went_back_does_not_put_off_the_question() -> None:
    world = World("private")
    assert world.goes(acknowledged=False)
    world.visibility, world.now = "public", world.now - 10 * ASK_AGAIN_MS
    assert not world.goes()


def test_the_user_s_word_is_for_one_address_and_dies_when_the_vault_moves() -> None:
    world = World()
    assert world.goes(OTHER, acknowledged=True)
    assert not world.goes(HUB)
    assert world.goes(HUB, acknowledged=True)
    world.gate.keep_only(HUB)
    assert world.goes(HUB)
    assert not world.goes(OTHER), "an old acknowledgement came back to life"


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"x": 1}', '{"HUB": 1}', '{"HUB": {"acknowledged": true}}', '{"HUB": {"visibility": "private", "due": "x", "at": 1}}']
)
def test_a_damaged_file_forgets_the_user_s_word_and_nothing_else_happens(kept: str) -> None:
    world = World(kept=kept.replace("HUB", fingerprint(HUB)).encode() + (b"\xff" if kept == "{" else b""))
    assert not world.goes()
    assert world.goes(acknowledged=True)
    assert world.goes()


@pytest.mark.parametrize(
    "same",
    [
        "https://ada:secret@github.com/ada/vault.git",
        "https://GitHub.com/ada/vault",
        "https://github.com:443/ada/vault/",
        "git@github.com:ada/vault.git",
        "ssh://git@github.com:22/ada/vault",
    ],
)
def test_one_address_in_other_words(same: str) -> None:
    assert fingerprint(check_remote_url(same)) == fingerprint(HUB)


@given(
    st.from_regex(r"[a-z]{1,8}\.org(:8[0-9]{3})?/[a-z]{1,6}/[a-z]{1,6}", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}\.org(:8[0-9]{3})?/[a-z]{1,6}/[a-z]{1,6}", fullmatch=True),
)
def test_other_places_are_others(one: str, other: str) -> None:
    same = fingerprint(check_remote_url(f"https://{one}")) == fingerprint(check_remote_url(f"https://{other}"))
    assert same is (one == other)
