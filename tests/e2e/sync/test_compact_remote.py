"""Compaction on a remote that lies, refuses or forgets, and where it stops in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.sync import InitParams
from sidecar.adapters.git import VaultRepo
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import bare_remote
from tests.support.worn import LARGE, Vault, compact, edit, run, same, turn


def test_the_log_as_it_was_before_is_refused_and_said(vault: Vault) -> None:
    compact(vault.a)
    run(vault.b)
    new = vault.at()
    tamper.point(vault.remote, vault.branch, vault.old)
    assert any("went back" in text for text in run(vault.b)), "a remote showed an older state, and nobody was told"
    assert not run(vault.b), "said once is enough"
    compact(vault.b)
    tamper.point(vault.remote, vault.branch, new)
    assert not run(vault.b)
    same(vault.a, vault.b)


def test_the_writing_device_mends_a_remote_that_was_put_back(vault: Vault) -> None:
    compact(vault.a)
    run(vault.b)
    tamper.point(vault.remote, vault.branch, vault.old)
    turn(vault.a, "4")
    assert tamper.git(vault.remote, "rev-list", "--count", vault.branch) == "2", "the device took its own older log for a stranger's"
    run(vault.b)
    same(vault.a, vault.b)


@pytest.mark.parametrize("case", ["an old segment in its place", "an old segment beside it", "a segment left out", "an old head", "a large value left out"])
def test_a_compacted_log_that_was_changed_is_not_used(vault: Vault, case: str) -> None:
    compact(vault.a)
    turn(vault.a, "4", LARGE + "4")
    new, truth = vault.at(), vault.a.content()

    def change(tree: Path) -> None:
        packed, _ = tamper.segments(tree)
        if case == "a segment left out":
            packed.unlink()
        elif case == "an old head":
            (tree / "head").write_bytes(tamper.blob(vault.remote, tamper.git(vault.remote, "rev-parse", f"{vault.old}:head")))
        elif case == "a large value left out":
            for path in (tree / "blob").iterdir():
                path.unlink()
        else:
            path = tamper.git(vault.remote, "ls-tree", "-r", "--name-only", vault.old, "seg/").splitlines()[1]
            (tree / path).write_bytes(tamper.blob(vault.remote, tamper.git(vault.remote, "rev-parse", f"{vault.old}:{path}")))
            if case == "an old segment in its place":
                packed.unlink()

    tamper.rewrite(vault.remote, vault.branch, change)
    before = vault.b.content()
    assert run(vault.b), f"{case}, and nobody was told"
    if case != "a large value left out":
        assert vault.b.content() == before, f"{case}: a part of it was used"
    tamper.point(vault.remote, vault.branch, new)
    run(vault.b)
    run(vault.b)
    assert vault.b.content() == truth


def test_a_remote_that_lets_no_branch_be_replaced_gets_it_on_top(vault: Vault) -> None:
    tamper.git(vault.remote, "config", "receive.denyNonFastForwards", "true")
    done = compact(vault.a)
    assert done.done
    assert done.warnings
    assert tamper.git(vault.remote, "rev-parse", f"{vault.branch}^") == vault.old
    turn(vault.a, "4")
    run(vault.b)
    same(vault.a, vault.b)


def test_a_vault_that_moved_with_an_older_state_of_a_log_gets_the_compacted_one(vault: Vault) -> None:
    other = bare_remote(vault.root / "other.git")
    compact(vault.a)
    vault.b.sidecar.init(InitParams(move_to=str(other)), Task())
    assert tamper.git(other, "rev-list", "--count", vault.branch) != "1", "it was to have the log as it was before"
    vault.a.sidecar.init(InitParams(move_to=str(other)), Task())
    turn(vault.a, "4")
    run(vault.b)
    same(vault.a, vault.b)
    assert tamper.git(other, "rev-list", "--count", vault.branch) == "2"


def test_a_copied_identity_is_still_noticed(vault: Vault) -> None:
    compact(vault.a)
    stranger = tamper.git(vault.remote, "commit-tree", "-m", "x", f"{vault.old}^{{tree}}")
    tamper.point(vault.remote, vault.branch, stranger)
    with pytest.raises(SidecarError) as caught:
        turn(vault.a, "4")
    assert caught.value.kind == "identityCloned"


@pytest.mark.parametrize("step", ["replace", "push", "forget_ref", "commit"])
def test_what_stops_in_the_middle_is_finished_by_the_next_cycle(vault: Vault, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one of the calls that change something, before and after it took effect."""
    real = getattr(VaultRepo, step)
    for number in range(1, 4):
        for after in (False, True):
            calls = 0

            def dies(self: VaultRepo, *arguments: object, n: int = number, late: bool = after, **options: object) -> object:
                nonlocal calls
                calls += 1
                if calls != n:
                    return real(self, *arguments, **options)
                if late:
                    real(self, *arguments, **options)
                raise KeyboardInterrupt

            edit(vault.a, edits.rename, "ses_1", f"{step} {number} {after}")
            monkeypatch.setattr(VaultRepo, step, dies)
            try:
                compact(vault.a)
            except KeyboardInterrupt:
                pass
            monkeypatch.setattr(VaultRepo, step, real)
            edit(vault.a, edits.rename, "ses_1", f"{step} {number} {after} and on")
            assert not run(vault.b)
            assert vault.b.content() == vault.a.content()
            assert not (vault.a.own_state / "vault.git/spool").exists()
    compact(vault.a)
    run(vault.b)
    same(vault.a, vault.b)
