"""GitHub through the real gh: repositories made, found, refused; git reaches them with gh's login. GitHub itself is a stand-in on loopback."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.github import TOKEN, GitHub, OnGitHub, fails, on
from tests.support.gitremote import commit_in, git, script
from tests.support.rawclient import RawClient
from tests.support.terminal import at_terminal

DEFAULT = "ada/opencode-sidecar-vault"


# --- making one ------------------------------------------------------------------------------------------------------
def test_a_vault_on_github_is_made_private_and_the_other_machine_finds_it(tmp_path: Path, hub: GitHub) -> None:
    hub.log_in()
    a, b = on(tmp_path, hub, "a", logged_in=False), on(tmp_path, hub, "b", logged_in=False)
    made = a.cli("init", "--github")
    assert made["remote"] == f"https://github.com/{DEFAULT}.git"
    assert hub.repositories[DEFAULT].private, "conversations in a public repository"
    assert a.cli("sync")["published"]["sessions"] > 0
    assert b.cli("link", "--github", "--yes", "--key", made["recoveryKey"])["preview"]["applied"]["sessions"] > 0
    b.cli("sync")
    assert a.content()["session"].items() <= b.content()["session"].items(), "a session did not arrive"
    assert hub.pushed_as == {"ada"}, "git did not come with gh's login"
    for machine in (a, b):
        kept = b"".join(path.read_bytes() for path in machine.own_state.rglob("*") if path.is_file())
        assert TOKEN.encode() not in kept, "the user's token was written down"
        assert not (machine.root / "home/.gitconfig").exists(), "the user's own git was changed"


def test_one_of_an_organisation(hub: GitHub, a: OnGitHub) -> None:
    hub.orgs["acme"] = True
    assert a.cli("init", "--github", "acme/vault")["remote"] == "https://github.com/acme/vault.git"
    assert hub.repositories["acme/vault"].private
    assert hub.pushed_as == {"x-access-token"}


def test_one_that_a_whole_enterprise_can_read_is_not_taken(hub: GitHub, a: OnGitHub) -> None:
    hub.add("acme/vault", internal=True)
    assert "internal" in fails(a, "remoteNotPrivate", "init", "--github", "acme/vault")["message"]


def test_ssh_is_used_when_gh_is_told_so(hub: GitHub, a: OnGitHub) -> None:
    a.run("status")
    config = Path(a.environ["GH_CONFIG_DIR"])
    config.mkdir(exist_ok=True)
    (config / "config.yml").write_text("git_protocol: ssh\n")
    ssh = script(a.root / "ssh", 'echo "$@" > "$HOME/asked"; exit 255')
    fails(OnGitHub(a.root, more={**a.more, "GIT_SSH": str(ssh)}), "remoteUnreachable", "init", "--github", "vault")
    assert "git@github.com" in (a.root / "home/asked").read_text()


def test_what_the_user_s_own_git_has_comes_first(hub: GitHub, a: OnGitHub) -> None:
    helper = script(a.root / "helper", f'[ "$1" = get ] && printf "username=mine\\npassword={TOKEN}\\n"')
    (a.root / "home/.gitconfig").write_text(f"[credential]\n\thelper = {helper}\n")
    a.cli("init", "--github", "vault")
    assert hub.pushed_as == {"mine"}


def test_an_empty_private_repository_is_taken_and_an_interrupted_init_goes_on(hub: GitHub, a: OnGitHub) -> None:
    hub.add("ada/vault")
    a.cli("init", "--github", "vault")
    assert "RepositoryCreate" not in hub.asked


def test_one_begun_with_a_readme_is_taken_and_keeps_it(hub: GitHub, a: OnGitHub) -> None:
    repository = hub.add("ada/vault")
    commit_in(repository.path, "main", {"README.md": "# mine", "LICENSE": "MIT", ".gitignore": "x"})
    a.cli("init", "--github", "vault")
    assert git(repository.path, "show", "main:README.md") == "# mine"
    assert git(repository.path, "rev-list", "--count", "main") == "2", "the user's history is gone"


def test_a_name_that_is_taken(tmp_path: Path, hub: GitHub, a: OnGitHub) -> None:
    commit_in(hub.add("ada/work").path, "main", {"README.md": "x", "main.py": "print()"})
    assert "README" in fails(a, "remoteNotEmpty", "init", "--github", "work")["remedy"]
    commit_in(hub.add("ada/opencode-config").path, "main", {"config/opencode.json": "{}"})
    assert "--adopt" in fails(a, "remoteNotEmpty", "init", "--github", "opencode-config")["remedy"]
    commit_in(hub.add("ada/vault").path, "main", {".opencode-sidecar/vault.json": "{}"})
    assert "link" in fails(a, "remoteNotEmpty", "init", "--github", "vault")["remedy"]
    assert not (a.own_state / "device.json").exists()


# --- moving to one ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encryption", ["aes-256-gcm", "none"])
def test_a_vault_moves_to_a_repository_that_is_made_for_it(tmp_path: Path, hub: GitHub, a: OnGitHub, encryption: str) -> None:
    hub.orgs["acme"] = True
    key = a.cli("init", "--encryption", encryption)["recoveryKey"]
    a.cli("sync")
    assert a.cli("init", "--move-to-github", "acme/vault")["remote"] == "https://github.com/acme/vault.git"
    assert hub.repositories["acme/vault"].private, "conversations in a public repository"
    b = on(tmp_path, hub, "b")
    b.cli("link", "--github", "acme/vault", *(["--key", key] if key else []))
    b.cli("sync")
    assert a.content()["session"].items() <= b.content()["session"].items(), "a session was left behind"
    a.cli("init", "--move-to-github")
    assert a.cli("sync")["warnings"] == []
    assert hub.repositories[DEFAULT].private


@pytest.mark.parametrize("encryption", ["aes-256-gcm", "none"])
def test_a_vault_moves_to_none_that_others_can_read_or_use(hub: GitHub, a: OnGitHub, encryption: str) -> None:
    hub.add("acme/vault", internal=True)
    hub.add("ada/open", private=False)
    commit_in(hub.add("ada/work").path, "main", {"main.py": "print()"})
    before = a.cli("init", "--encryption", encryption)["remote"]
    for name, kind in (("acme/vault", "remoteNotPrivate"), ("open", "remoteNotPrivate"), ("work", "remoteNotVault"), ("a/b/c", "invalidParams")):
        fails(a, kind, "init", "--move-to-github", name, "--acknowledge-private")
    assert a.cli("status")["remote"] == before, "it moved all the same"
    a.cli("sync")
    for name in ("acme/vault", "ada/open"):
        assert git(hub.repositories[name].path, "for-each-ref") == "", "conversations where others can read them"


# --- finding one -----------------------------------------------------------------------------------------------------
def test_which_one_is_asked_unless_there_is_no_doubt(tmp_path: Path, hub: GitHub, a: OnGitHub) -> None:
    fails(a, "remoteNotVault", "link", "--github")
    commit_in(hub.add("ada/opencode-synced").path, "main", {"config/opencode.json": "{}"})
    hub.add("ada/dotfiles-opencode")
    error = fails(a, "remoteNotVault", "link", "--github", "--yes")
    assert "ada/opencode-synced" in error["detail"]
    assert "--adopt" in error["remedy"]
    a.cli("init", "--github", "opencode-synced", "--adopt", "--encryption", "none")
    b = on(tmp_path, hub, "b")
    error = fails(b, "invalidParams", "link", "--github")
    assert (error["detail"], "link --github ada/opencode-synced" in error["remedy"]) == ("ada/opencode-synced", True)
    commit_in(hub.add("ada/my-opencode-config").path, "main", {".opencode-sidecar/vault.json": "{}"})
    fails(b, "invalidParams", "link", "--github", "--yes")
    client = RawClient(b.environ)
    try:
        client.initialize()
        found = client.call("sync/findVaults", {})["result"]["found"]
        assert [(one["name"], one["vault"], one["empty"]) for one in found] == [
            ("ada/my-opencode-config", True, False),
            ("ada/opencode-synced", True, False),
            ("ada/dotfiles-opencode", False, True),
        ]
        assert client.call("sync/link", {"github": ""})["error"]["data"]["kind"] == "invalidParams"
        assert client.call("sync/link", {"github": "x", "remote": "/x"})["error"]["data"]["kind"] == "invalidParams"
        assert client.call("sync/link", {"github": "opencode-synced"})["result"]["linked"]
    finally:
        client.kill()


@pytest.mark.parametrize("encryption", ["aes-256-gcm", "none"])
def test_a_public_repository_is_not_taken(hub: GitHub, a: OnGitHub, encryption: str) -> None:
    repository = hub.add("ada/vault", private=False)
    error = fails(a, "remoteNotPrivate", "init", "--github", "vault", "--encryption", encryption, "--acknowledge-private")
    assert "public" in error["message"]
    assert repository.empty


@pytest.mark.parametrize(("owner", "orgs"), [("acme", {"acme": False}), ("nobody", {})])
def test_an_owner_who_does_not_let_you(hub: GitHub, a: OnGitHub, owner: str, orgs: dict[str, bool]) -> None:
    hub.orgs |= orgs
    assert "rights" in fails(a, "authFailed", "init", "--github", f"{owner}/vault")["remedy"]
    assert hub.repositories == {}


@pytest.mark.parametrize("name", ["--foo", "a/b/c", "Ünïcode", "x\x1b[2J", "x\ny", ".."])
def test_names_that_are_none(hub: GitHub, a: OnGitHub, name: str) -> None:
    for command in ("init", "link"):
        error = fails(a, "invalidParams", command, f"--github={name}")
        assert "\x1b" not in json.dumps(error, ensure_ascii=False)
    assert hub.asked == [], "an impossible name reached GitHub"


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
def test_at_a_terminal_one_is_picked(tmp_path: Path, hub: GitHub, a: OnGitHub) -> None:
    a.cli("init", "--github", "opencode-sync", "--encryption", "none")
    b = on(tmp_path, hub, "b")
    status, screen = at_terminal(b, ["link", "--github"], {"Join this one? [y/N]": "\n"})
    assert (status, "ada/opencode-sync (private)" in screen, (b.own_state / "device.json").exists()) == (130, True, False)
    commit_in(hub.add("ada/opencode-sidecar-vault").path, "main", {".opencode-sidecar/vault.json": "{}"})
    for answer in ("3\n", "0\n", "x\n"):
        assert at_terminal(b, ["link", "--github"], {"Which one? [1-2]": answer})[0] == 130
    assert at_terminal(b, ["link", "--github"], {"Which one? [1-2]": "2\n", "Link? [y/N]": "y\n"})[0] == 0
    assert b.cli("status")["remote"] == "https://github.com/ada/opencode-sync.git"


# --- gh in a bad mood ------------------------------------------------------------------------------------------------
def test_without_gh(tmp_path: Path, hub: GitHub) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(next(Path(folder) / name for folder in os.environ["PATH"].split(":") if (Path(folder) / name).exists()))
    c = on(tmp_path, hub, "c", PATH=f"{tools}:{Path(sys.executable).parent}")
    for command in ("init", "link"):
        assert "cli.github.com" in fails(c, "commandNotFound", command, "--github")["remedy"]
    error = fails(c, "remoteNotPrivate", "init", "https://github.com/ada/vault.git", "--encryption", "none")
    assert "--acknowledge-private" in error["remedy"]


@pytest.mark.parametrize("token", [None, "gho_wrong"])
def test_a_gh_that_is_not_logged_in(tmp_path: Path, hub: GitHub, token: str | None) -> None:
    c = on(tmp_path, hub, "c", logged_in=False, **({"GH_TOKEN": token} if token else {}))
    for arguments in (["init", "--github"], ["init", "--github", "ada/x"], ["link", "--github"]):
        assert "gh auth login" in fails(c, "authFailed", *arguments)["remedy"]
    assert hub.repositories == {}


def test_without_a_network(hub: GitHub, a: OnGitHub) -> None:
    hub.down = True
    assert fails(a, "remoteUnreachable", "init", "--github")["retryable"]


@pytest.mark.parametrize(
    "words", ["not json", '{"isPrivate": "yes"}', '{"isPrivate": true, "nameWithOwner": "--evil", "isEmpty": true, "sshUrl": "x"}', "[]", ""]
)
def test_a_gh_that_prints_garbage(tmp_path: Path, hub: GitHub, words: str) -> None:
    script(tmp_path / "bin/gh", f"cat <<'EOF'\n{words}\nEOF")
    c = on(tmp_path, hub, "c", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert fails(c, "unsupported", "init", "--github", "ada/vault")
    if "true" not in words:
        fails(c, "remoteNotPrivate", "init", "https://github.com/ada/vault.git", "--encryption", "none")


def test_a_gh_that_hangs_is_given_up_and_cancelled_at_once(tmp_path: Path, hub: GitHub) -> None:
    script(tmp_path / "bin/gh", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    c = on(tmp_path, hub, "c", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    client = RawClient(c.environ)
    try:
        client.initialize()
        asked = client.start("sync/init", {"github": "ada/vault"})
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.02)
        client.notify("$/cancelRequest", {"id": asked})
        began = time.monotonic()
        assert client.wait_for(asked)["error"]["code"] == -32800
        assert time.monotonic() - began < 20, "it waited for a program that hangs"
        pid = int((tmp_path / "pid").read_text())
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text(), "gh was left running"
    finally:
        client.kill()


def test_time_limit_of_gh(tmp_path: Path, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from protocol.sync import InitParams
    from sidecar.adapters.github import gh
    from sidecar.domain.errors import SidecarError
    from sidecar.domain.task import Task

    monkeypatch.setattr(gh, "ASK_SECONDS", 0.3)
    script(tmp_path / "bin/gh", "exec sleep 60")
    c = on(tmp_path, hub, "c", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(SidecarError) as caught:
        c.sidecar.init(InitParams(github="ada/vault"), Task())
    assert (caught.value.kind, caught.value.retryable) == ("remoteUnreachable", True)
