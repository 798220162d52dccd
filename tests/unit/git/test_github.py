"""Which addresses are GitHub's, and where gh may be asked for a login."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.git import VaultRepo, check_remote_url
from sidecar.adapters.git.credentials import helper_for
from sidecar.adapters.git.errors import without_credentials
from sidecar.adapters.github import parse_name, repository_of
from sidecar.domain.errors import SidecarError
from tests.support.gitremote import script


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ada/vault",
        "https://github.com/ada/vault.git/",
        "https://ada:secret@GitHub.com/ada/vault.git",
        "https://www.github.com/ada/vault",
        "git@github.com:ada/vault.git",
        "github.com:ada/vault",
        "ssh://git@github.com/ada/vault.git",
        "ssh://git@ssh.github.com:443/ada/vault.git",
    ],
)
def test_ways_to_write_one_repository(url: str) -> None:
    name = repository_of(check_remote_url(url), {})
    assert name is not None
    assert (name.host, name.full) == ("github.com", "ada/vault")


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/ada/vault.git",
        "git@codeberg.org:ada/vault.git",
        "ssh://git@[::1]:2222/ada/vault.git",
        "https://github.com.evil.example/ada/vault",
        "https://github.com/ada/vault/x",
        "https://github.com/ada",
        "https://gist.github.com/ada/0123",
        "https://github.com/-x/vault",
        "/home/ada/github.com/ada/vault.git",
        "file:///srv/ada/vault.git",
    ],
)
def test_what_gh_is_not_asked_about(url: str) -> None:
    assert repository_of(check_remote_url(url), {}) is None


def test_another_server_is_asked_when_gh_is_told_of_it() -> None:
    url = check_remote_url("https://git.corp.example/ada/vault")
    assert repository_of(url, {}) is None
    name = repository_of(url, {"GH_HOST": "git.corp.example"})
    assert name is not None
    assert name.host == "git.corp.example"
    assert repository_of(check_remote_url("ada@ada.ghe.com:ada/vault.git"), {}) is not None


@given(st.text(max_size=120))
def test_no_name_becomes_an_option_or_another_place(text: str) -> None:
    try:
        name = parse_name(text, {})
    except SidecarError:
        return
    assert name.full.isascii()
    assert name.full.isprintable()
    assert not set(name.full) & set(" \\:@?#%*")
    assert name.full.count("/") == 1
    assert not name.name.startswith("-")
    assert not name.owner.startswith("-")


def test_gh_is_asked_for_a_login_last_and_for_github_alone(tmp_path: Path) -> None:
    gh = script(tmp_path / "with space's/gh", "exit 1")
    environ = {"PATH": f"{gh.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "GH_ENTERPRISE_TOKEN": "x"}
    ((key, value),) = helper_for("https://github.com/ada/vault.git", environ).items()
    assert key == "credential.https://github.com.helper"
    assert value.endswith("/gh' auth git-credential")
    for other in ("https://gitlab.com/a/b", "https://github.com.evil.example/a/b", "http://github.com/a/b", "git@github.com:a/b", "/x/github.com/a"):
        assert helper_for(other, environ) == {}, "gh's token could go to another host"
    assert helper_for("https://github.com/a/b", {"PATH": str(tmp_path)}) == {}


def test_a_repository_that_moves_to_another_host_forgets_gh(tmp_path: Path) -> None:
    gh = script(tmp_path / "bin/gh", "exit 1")
    repo = VaultRepo.create(tmp_path / "vault.git", {"PATH": f"{gh.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)})
    helpers = []
    for url in ("https://github.com/ada/vault.git", "https://git.example.org/ada/vault.git", "https://github.com/ada/vault.git"):
        repo.set_remote(url)
        repo._prepare_network()
        helpers.append(repo._git.run("config", "--get-all", "--includes", "credential.https://github.com.helper", ok=(0, 1)).decode().count("git-credential"))
    repo.close()
    assert helpers == [1, 0, 1]


def test_tokens_are_taken_out_of_what_tools_print() -> None:
    said = without_credentials("fatal: bad line: gho_0123456789abcdef and github_pat_11AB_xyz in https://u:p@h/x")
    assert "gho_" not in said
    assert "github_pat_" not in said
