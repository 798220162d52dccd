"""The vault's repository: commits survive, other people's changes are taken, nothing half-made is seen."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.adapters.git import VaultRepo, layout
from sidecar.adapters.git.refs import read_ref
from sidecar.domain.errors import Cancelled, SidecarError
from sidecar.domain.task import Task
from tests.support.gitremote import git, read_only, script

OpenVault = Callable[..., VaultRepo]
BRANCH = "sessions/" + "a" * 32
REF = f"refs/heads/{BRANCH}"


def test_a_commit_holds_exactly_what_was_given(vault: VaultRepo) -> None:
    odd = {"head.json": b"{}", 'blob/with "quotes" ☃': b"\0\xff", "seg/0000000/000000001-ab": b"x" * 100_000}
    first = vault.commit(REF, None, odd, "one", 1_700_000_000)
    second = vault.commit(
        REF, first, {"head.json": b"{2}", 'blob/with "quotes" ☃': b"", "blob/0/1": b"new", "seg/0000000/000000002-cd": b""}, "two", 1_700_000_001
    )
    assert vault.local_ref(REF) == second
    assert {entry.path for entry in vault.tree(first)} == odd.keys()
    assert vault.read_file(second, "head.json", limit=100) == b"{2}"
    assert vault.read_file(first, 'blob/with "quotes" ☃', limit=100) == b"\0\xff"
    assert vault.read_file(first, "missing", limit=100) is None
    assert {entry.path for entry in vault.new_files(first, second, "blob/")} == {"blob/0/1", 'blob/with "quotes" ☃'}
    assert [(entry.path, entry.mode) for entry in vault.new_files(first, second, "seg/")] == [("seg/0000000/000000002-cd", 0o100644)]
    assert vault.new_files(first, second, "no/") == []
    (blob,) = [entry.sha for entry in vault.tree(first, "seg/0000000/000000001-ab")]
    assert blob == vault.blob_name(b"x" * 100_000)


def test_a_branch_that_moved_is_not_overwritten(vault: VaultRepo) -> None:
    first = vault.commit(REF, None, {"a": b"1"}, "one", 1)
    vault.commit(REF, first, {"a": b"2"}, "two", 2)
    with pytest.raises(SidecarError) as caught:
        vault.commit(REF, first, {"a": b"3"}, "three", 3)
    assert caught.value.kind == "conflict"


def test_what_one_pushes_the_other_fetches(open_vault: OpenVault) -> None:
    a, b = open_vault("a"), open_vault("b")
    made = a.commit(REF, None, {"a": b"1"}, "one", 1)
    assert a.push(Task(), BRANCH) == made
    assert b.remote_heads(Task()) == {BRANCH: made}
    b.fetch(Task(), [BRANCH])
    assert b.local_ref(f"refs/remotes/origin/{BRANCH}") == made
    assert b.is_ancestor(made, made)
    assert not b.is_ancestor("0" * 40, made)


def test_a_refused_push_is_no_success(vault: VaultRepo, remote: Path) -> None:
    read_only(remote)
    vault.commit(REF, None, {"a": b"1"}, "one", 1)
    with pytest.raises(SidecarError) as caught:
        vault.push(Task(), BRANCH)
    assert caught.value.remedy
    assert git(remote, "for-each-ref") == ""


def test_a_remote_that_drops_what_it_took_is_noticed(vault: VaultRepo, remote: Path) -> None:
    script(remote / "hooks" / "post-receive", f"git update-ref -d {REF}")
    vault.commit(REF, None, {"a": b"1"}, "one", 1)
    with pytest.raises(SidecarError) as caught:
        vault.push(Task(), BRANCH)
    assert caught.value.kind == "remoteBusy", "success was reported for something that is not there"


def test_a_hanging_remote_can_be_cancelled(vault: VaultRepo, remote: Path) -> None:
    script(remote / "hooks" / "pre-receive", "sleep 60")
    vault.commit(REF, None, {"a": b"1"}, "one", 1)
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        vault.push(Task(None, cancelled), BRANCH)
    assert time.monotonic() - began < 30, "it waited for a remote that hangs"


def test_a_repository_cut_short_while_it_was_made_is_completed(open_vault: OpenVault) -> None:
    vault = open_vault("a")
    (vault.path / "config").write_text("")
    again = open_vault("a")
    assert again.commit(REF, None, {"a": b"1"}, "one", 1)


def test_damage_is_told_from_absence(vault: VaultRepo) -> None:
    with pytest.raises(SidecarError) as caught:
        vault.read_blob("0" * 40, limit=10)
    assert caught.value.kind == "segmentCorrupt"
    made = vault.commit(REF, None, {"a": b"12345678901"}, "one", 1)
    with pytest.raises(SidecarError):
        vault.read_file(made, "a", limit=10)


def test_a_ref_that_cannot_be_read_is_not_one_that_is_not_there(tmp_path: Path) -> None:
    """Else a failing disk would look like a device without a log."""
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs/loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_ref(tmp_path, "refs/loop")
    assert read_ref(tmp_path, "refs/none") is None


def test_a_git_that_is_killed_while_it_reads_condemns_nothing(open_vault: OpenVault, environ: dict[str, str], tmp_path: Path) -> None:
    """Damage is marked and not looked at again; this must not be taken for damage."""
    folder = tmp_path / "bin"
    script(folder / "git", f'for word in "$@"; do [ "$word" = cat-file ] && kill -9 $$; done\nPATH={environ["PATH"]} exec git "$@"')
    vault = open_vault("k", env={**environ, "PATH": f"{folder}:{environ['PATH']}"})
    with pytest.raises(SidecarError) as caught:
        vault.read_blob("0" * 39 + "1", limit=100)
    assert caught.value.kind == "systemError"


def test_a_lock_from_the_future_goes_as_one_from_long_ago(vault: VaultRepo, remote: Path) -> None:
    ref = "refs/heads/sessions/" + "d" * 32
    lock = remote / f"{ref}.lock"
    lock.parent.mkdir(parents=True)
    for age, stays in ((0, True), (3600, False), (-3600, False)):
        lock.touch()
        os.utime(lock, (time.time() - age, time.time() - age))
        layout.clear_remote_lock(vault.path, ref)
        assert lock.exists() is stays, "a machine could not push until its clock has caught up"
