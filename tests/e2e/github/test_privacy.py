"""What is not sealed goes to no place that strangers can read: real gh says so of GitHub, the user of other hosts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from protocol.compact import CompactParams
from protocol.config import ConfigSetParams, EnableSecretsParams
from protocol.sync import CycleParams, InitParams, LinkParams, StatusParams
from protocol.trust import DoctorParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support.edits import rename
from tests.support.github import OTHER_HOST, TOKEN, GitHub, OnGitHub, on
from tests.support.gitremote import git, script

ON_HUB, ELSEWHERE = "https://github.com/ada/vault.git", f"https://{OTHER_HOST}/ada/vault.git"
DAY = 24 * 3600 * 1000


class Clock:
    now = int(time.time() * 1000)

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(a: OnGitHub) -> Clock:
    a.wall = Clock()
    return a.wall


def plain(machine: OnGitHub, remote: str = ON_HUB, *, acknowledged: bool = False) -> None:
    machine.sidecar.init(InitParams(remote, encryption="none", acknowledge_private=acknowledged), Task())


def refused(machine: OnGitHub, call: str, params: Any) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        getattr(machine.sidecar, call)(params, Task())
    assert caught.value.kind == "remoteNotPrivate"
    return caught.value


def privacy(machine: OnGitHub) -> Any:
    (check,) = [check for check in machine.sidecar.doctor(DoctorParams(), Task()).checks if check.name == "remote privacy"]
    return check


def elsewhere(machine: OnGitHub) -> OnGitHub:
    """git has a login for another host."""
    helper = script(machine.root / "helper", f'[ "$1" = get ] && printf "username=ada\\npassword={TOKEN}\\n"')
    (machine.root / "home/.gitconfig").write_text(f"[credential]\n\thelper = {helper}\n")
    return machine


def test_github_s_word_is_enough_and_a_public_repository_is_refused_whatever_the_user_says(tmp_path: Path, hub: GitHub, a: OnGitHub) -> None:
    repository = hub.add("ada/vault", private=False)
    for acknowledged in (False, True):
        error = refused(a, "init", InitParams(ON_HUB, encryption="none", acknowledge_private=acknowledged))
        assert "public" in error.message
    assert repository.empty, "something was written to a public repository"
    repository.private = True
    plain(a)
    b = on(tmp_path, hub, "b")
    repository.private = False
    refused(b, "link", LinkParams(ON_HUB, acknowledge_private=True))
    repository.private = True
    b.sidecar.link(LinkParams(ON_HUB), Task())


def test_a_repository_that_becomes_public_gets_nothing_more_and_nothing_is_lost(hub: GitHub, a: OnGitHub, clock: Clock) -> None:
    repository = hub.add("ada/vault")
    plain(a)
    a.sidecar.run(CycleParams(), Task())
    repository.private = False
    hub.asked.clear()
    a.sidecar.run(CycleParams(), Task())
    assert hub.asked == [], "a cycle asks GitHub again and again"
    clock.now += DAY
    before = git(repository.path, "for-each-ref")
    session = a.sql("SELECT id FROM session")[0][0]
    with a.connect() as connection:
        rename(connection, session, "private words")
    for call in ("run", "push"):
        assert "public" in refused(a, call, CycleParams()).message
    assert git(repository.path, "for-each-ref") == before, "conversations were pushed to a public repository"
    failed = a.sidecar.status(StatusParams(), Task()).last_error
    assert failed is not None
    assert failed.kind == "remoteNotPrivate"
    repository.private = True
    assert a.sidecar.run(CycleParams(), Task()).published.sessions == 1, "what waited did not go out"


def test_compacting_takes_nothing_to_a_repository_that_became_public(hub: GitHub, a: OnGitHub, clock: Clock) -> None:
    repository = hub.add("ada/vault")
    plain(a)
    a.sidecar.run(CycleParams(), Task())
    repository.private = False
    clock.now += DAY
    before = git(repository.path, "for-each-ref")
    with a.connect() as connection:
        rename(connection, a.sql("SELECT id FROM session")[0][0], "private words")
    a.sidecar.pull(CycleParams(), Task())  # records them, and pushes nothing
    assert "public" in refused(a, "compact", CompactParams()).message
    assert not a.sidecar.upkeep(Task())
    assert a.sidecar.compact(CompactParams(dry_run=True), Task()).before.segments, "a look at our own log needs nobody's word"
    assert git(repository.path, "for-each-ref") == before, "conversations were pushed to a public repository"


def test_doctor_finds_it_at_once(hub: GitHub, a: OnGitHub, clock: Clock) -> None:
    repository = hub.add("ada/vault")
    plain(a)
    assert privacy(a).ok
    repository.private = False
    check = privacy(a)
    assert (check.ok, "public" in check.detail, "private" in check.remedy) == (False, True, True)
    refused(a, "run", CycleParams())


def test_sealed_a_public_repository_is_the_user_s_choice_and_doctor_says_what_it_is(hub: GitHub, a: OnGitHub) -> None:
    hub.add("ada/vault", private=False)
    a.sidecar.init(InitParams(ON_HUB), Task())
    a.sidecar.run(CycleParams(), Task())
    assert (privacy(a).ok, privacy(a).detail) == (True, "public on GitHub; sealed")


def test_without_an_answer_the_last_one_counts(hub: GitHub, a: OnGitHub, clock: Clock) -> None:
    hub.add("ada/vault")
    plain(a)
    clock.now += 2 * DAY
    a.more["PATH"] = f"{script(a.root / 'bin/gh', 'exit 1').parent}:{a.environ['PATH']}"
    a.more["GIT_ASKPASS"] = ""
    elsewhere(a)
    a.sidecar.run(CycleParams(), Task())


def test_of_another_host_the_user_s_word_counts_for_that_address_alone(tmp_path: Path, hub: GitHub, a: OnGitHub) -> None:
    hub.add("ada/vault")
    hub.add("ada/other")
    elsewhere(a)
    refused(a, "init", InitParams(ELSEWHERE, encryption="none"))
    plain(a, ELSEWHERE, acknowledged=True)
    a.sidecar.run(CycleParams(), Task())
    refused(a, "init", InitParams(move_to=ELSEWHERE.replace("vault", "other")))
    a.sidecar.init(InitParams(move_to=ELSEWHERE.replace("vault", "other"), acknowledge_private=True), Task())
    a.sidecar.run(CycleParams(), Task())
    device = a.own_state / "device.json"
    device.write_text(json.dumps(json.loads(device.read_text()) | {"remote": ELSEWHERE}))
    refused(a, "run", CycleParams())
    assert not privacy(a).ok


def test_credentials_go_only_where_strangers_cannot_read_them(hub: GitHub, a: OnGitHub) -> None:
    repository = hub.add("ada/vault")
    plain(a)
    repository.private = False
    refused(a, "enable_secrets", EnableSecretsParams(acknowledge_private=True))
    refused(a, "config_set", ConfigSetParams({"includeSecrets": True}))
    assert not (a.root / "config/opencode/opencode-sidecar.jsonc").exists(), "a setting was written all the same"
    repository.private = True
    settings = a.cli("enable-secrets")["settings"]
    assert (settings["includeConfig"], settings["includeSecrets"]) == (True, True)
    (a.root / "data/opencode/auth.json").write_text('{"anthropic": {"type": "api", "key": "k-123"}}')
    a.sidecar.run(CycleParams(), Task())
    assert "k-123" in git(repository.path, "show", "main:data/auth.json")


def test_before_there_is_a_vault_and_where_it_is_sealed_nothing_is_asked(hub: GitHub, a: OnGitHub, tmp_path: Path) -> None:
    a.sidecar.enable_secrets(EnableSecretsParams(), Task())
    hub.add("ada/vault", private=False)
    refused(a, "init", InitParams(ON_HUB, encryption="none"))
    a.sidecar.init(InitParams(ON_HUB), Task())
    a.sidecar.config_set(ConfigSetParams({"includeSecrets": False}), Task())
    a.sidecar.enable_secrets(EnableSecretsParams(), Task())
