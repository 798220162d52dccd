"""git's words: progress, errors, and the stream that makes a commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.git.errors import from_stderr, without_credentials
from sidecar.adapters.git.fastimport import commit_stream, quoted
from sidecar.adapters.git.progress import Step, last_step
from sidecar.adapters.git.refs import is_branch_name


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("fatal: unable to write loose object file: No space left on device", "diskFull"),
        ("remote: fatal: write error: No space left on device\n ! [remote rejected] a -> a (unpacker error)", "diskFull"),
        ("fatal: sha1 file 'objects/pack/tmp_pack' write error. Out of diskspace", "diskFull"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "authFailed"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "authFailed"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "authFailed"),
        ("remote: Invalid username or password.\nfatal: Authentication failed for 'https://h/'", "authFailed"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", "authFailed"),
        (" ! [remote rejected] a -> a (pre-receive hook declined)\nerror: failed to push some refs", "authFailed"),
        (" ! [remote rejected] a -> a (protected branch hook declined)", "authFailed"),
        (" ! [rejected] a -> a (fetch first)\nerror: failed to push some refs", "remoteBusy"),
        (" ! [rejected] a -> a (stale info)", "remoteBusy"),
        (" ! [remote rejected] a -> a (cannot lock ref 'refs/heads/a')", "remoteBusy"),
        ("fatal: couldn't find remote ref refs/heads/gone", "remoteBusy"),
        ("fatal: transport 'ext' not allowed", "invalidRemote"),
        ("git: 'remote-https' is not a git command. See 'git --help'.", "gitMissing"),
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.", "remoteUnreachable"),
        ("remote: Repository not found.\nfatal: repository 'https://h/v.git/' not found", "remoteUnreachable"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "remoteUnreachable"),
        ("ssh: connect to host h port 22: Connection timed out\nfatal: Could not read from remote repository.", "remoteUnreachable"),
        ("fatal: detected dubious ownership in repository at '/x'", "remoteUnreachable"),
        ("error: inflate: data stream error\nfatal: loose object 12 (stored in x) is corrupt", "segmentCorrupt"),
        ("something nobody has ever seen", "remoteUnreachable"),
    ],
)
def test_each_failure_says_what_can_be_done(stderr: str, kind: str) -> None:
    error = from_stderr(stderr, "fetch")
    assert error.kind == kind
    assert error.remedy
    assert error.message


def test_a_local_failure_is_not_blamed_on_the_network() -> None:
    assert from_stderr("fatal: cannot open .git/x: Permission denied", "repack", network=False).kind == "systemError"
    assert from_stderr("fatal: what nobody has ever seen", "repack", network=False).kind == "internal"


@pytest.mark.parametrize(
    ("stderr", "command", "network"),
    [
        ("error: couldn't set 'refs/heads/sessions/x'", "fast-import", False),
        ("error: cannot update ref 'refs/heads/x': couldn't write '/s/vault.git/refs/heads/x.lock'", "fast-import", False),
        ("fatal: fsync error on '/s/vault.git/objects/pack/tmp_idx_y4vJs6': Input/output error", "fast-import", False),
        ("fatal: Unable to create temporary file '/s/vault.git/objects/pack/tmp_pack_XX': Read-only file system", "fetch", True),
        ("fatal: Out of memory, malloc failed (tried to allocate 1048576 bytes)", "push", True),
    ],
)
def test_what_the_system_refuses_git_here_is_said_to_be_here(stderr: str, command: str, network: bool) -> None:
    error = from_stderr(stderr, command, network=network)
    assert error.kind == "systemError", "people would look for the fault at the remote, or report a bug"
    assert error.remedy


def test_damage_that_git_takes_for_a_huge_object_is_told_as_damage() -> None:
    object_name = "7" * 40
    text = f"error: unable to parse {object_name} header\nfatal: Out of memory, malloc failed (tried to allocate 139748902001761 bytes)"
    assert from_stderr(text, "push").kind == "segmentCorrupt", "people would buy memory, and the repository is damaged"


def test_a_rejected_branch_is_told_from_a_busy_one() -> None:
    assert from_stderr(" ! [rejected] a -> a (non-fast-forward)", "push").detail == "nonFastForward"


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hunter2@h/x",
        "https://me:hun@ter2/hunter2@h"[:24] + "@h",
        "https://h/x?access_token=hunter2",
        "> Authorization: Basic hunter2",
        "ssh://a:hunter2@h",
    ],
)
def test_no_secret_reaches_a_log(text: str) -> None:
    assert "hunter2" not in without_credentials(f"fatal: unable to access '{text}'")


def test_the_newest_progress_counts_and_prose_does_not() -> None:
    text = "remote: Counting objects: 100% (3/3), done.\rReceiving objects:  10% (1/10)\rReceiving objects:  50% (5/10), 1.50 MiB | 2.00 MiB/s\r"
    assert last_step(text) == Step("Receiving objects", 5, 10, 1_572_864)
    assert last_step("remote: 50% off everything (5/10)") is None
    assert last_step("Writing objects: 100% (2/2), 310 bytes | 310.00 KiB/s, done.\n") == Step("Writing objects", 2, 2, 310)


@given(st.text())
def test_progress_of_any_text_is_a_step_or_nothing(text: str) -> None:
    assert last_step(text) is None or text


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "a/./b", ".git/config", "a/.GIT/hooks/x", "a\0b"])
def test_a_path_that_leaves_the_tree_is_never_written(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        quoted(path)


@pytest.mark.parametrize("name", ["-x", "--upload-pack=x", "a/-b", "a b", "a:b", "a*", "a..b", "a.lock", "/a", "a/", "", "a\nb", "a@{1}", ".a", "a/.b", "a~1"])
def test_a_branch_name_cannot_become_an_option_or_a_second_refspec(name: str) -> None:
    assert not is_branch_name(name)


def test_a_file_that_shrinks_while_it_is_read_makes_no_commit(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * (3 << 20))
    stream = commit_stream("refs/heads/a", None, {"x": path}, "m", 0)
    taken = [next(stream) for _ in range(4)]
    path.write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        taken += list(stream)
    assert b"done\n" not in b"".join(taken).splitlines(keepends=True)[1:]
