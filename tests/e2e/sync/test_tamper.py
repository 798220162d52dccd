"""An encrypted vault on a remote that lies: nothing false is taken over, it is said, and the truth is taken up again afterwards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, InitParams, LinkParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import Machine, bare_remote
from tests.support.terminal import at_terminal

Make = Callable[..., Machine]
LARGE = "a large value " * 120_000


def run(machine: Machine) -> list[str]:
    return machine.sidecar.run(CycleParams(), Task()).warnings


def turn(machine: Machine, tag: str, text: str = "hello") -> None:
    at = int(time.time() * 1000) - 60_000 + int(tag)
    connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at)
    edits.add_turn(connection, f"ses_{tag}", tag, at, text)
    connection.close()


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


class Pair:
    """Two linked machines; `a` wrote three segments, of which `b` applied the first."""

    def __init__(self, machine: Make, remote: Path) -> None:
        self.remote, self.a, self.b = remote, machine("a"), machine("b")
        self.key = self.a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
        self.b.sidecar.link(LinkParams(str(remote), key=self.key), Task())
        turn(self.a, "1", LARGE)
        run(self.a)
        self.branch, self.first = next(iter(tamper.logs(remote).items()))
        run(self.b)
        assert sessions(self.b) == {"ses_1"}
        turn(self.a, "2", LARGE + "2")
        run(self.a)
        self.second = tamper.logs(remote)[self.branch]
        turn(self.a, "3")
        run(self.a)
        self.last = tamper.logs(remote)[self.branch]
        self.truth = self.a.content()

    def mended(self) -> None:
        """The remote shows the true log again: everything arrives, nothing else did."""
        tamper.point(self.remote, self.branch, self.last)
        run(self.b)
        run(self.b)
        assert self.b.content() == self.truth, "after the remote was put right, something is missing or false"
        self.b.check_integrity()


@pytest.fixture
def pair(machine: Make, remote: Path) -> Pair:
    return Pair(machine, remote)


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int((len(data) - 1) * at)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0.0, 0.02, 0.5, 1.0])
def test_a_changed_segment_is_refused(pair: Pair, at: float) -> None:
    tamper.rewrite(pair.remote, pair.branch, lambda tree: flip(tamper.segments(tree)[1], at))
    assert any("damaged" in text or "key" in text or "newer" in text for text in run(pair.b))
    assert "ses_2" not in sessions(pair.b)
    pair.mended()


def test_segments_that_changed_places_are_refused(pair: Pair) -> None:
    def swap(tree: Path) -> None:
        _, two, three = tamper.segments(tree)
        content = two.read_bytes()
        two.write_bytes(three.read_bytes())
        three.write_bytes(content)

    tamper.rewrite(pair.remote, pair.branch, swap)
    assert run(pair.b)
    assert sessions(pair.b) == {"ses_1"}
    pair.mended()


def test_a_segment_left_out_is_noticed_and_what_follows_waits(pair: Pair) -> None:
    tamper.rewrite(pair.remote, pair.branch, lambda tree: tamper.segments(tree)[1].unlink())
    assert run(pair.b)
    assert sessions(pair.b) == {"ses_1"}, "a deletion in the missing segment would be undone by what follows it"
    pair.mended()


def test_a_log_that_lost_its_end_is_noticed(pair: Pair) -> None:
    """The head is sealed: it cannot be made to fit a shorter log."""
    tamper.rewrite(pair.remote, pair.branch, lambda tree: tamper.segments(tree)[2].unlink())
    assert any("the end of its log is missing" in text for text in run(pair.b))
    pair.mended()


def test_a_log_rolled_back_is_refused_and_said(pair: Pair) -> None:
    run(pair.b)
    tamper.point(pair.remote, pair.branch, pair.first)
    assert any("went back" in text for text in run(pair.b)), "a remote hid the newest conversations and nobody was told"
    assert pair.b.content() == pair.truth
    pair.mended()


def test_an_old_head_on_a_newer_log_is_noticed(pair: Pair) -> None:
    run(pair.b)
    old = tamper.git(pair.remote, "rev-parse", f"{pair.first}:head")

    def put_back(tree: Path) -> None:
        (tree / "head").write_bytes(__import__("subprocess").run(["git", "cat-file", "blob", old], cwd=pair.remote, check=True, capture_output=True).stdout)

    tamper.rewrite(pair.remote, pair.branch, put_back)
    assert any("went back" in text for text in run(pair.b))
    pair.mended()


def test_a_log_under_another_devices_name_is_refused(pair: Pair) -> None:
    tamper.point(pair.remote, "sessions/" + "c" * 32, pair.last)
    warnings = run(pair.b)
    assert any("c" * 32 in text for text in warnings)
    pair.mended()


def test_large_values_that_changed_places_are_refused(pair: Pair) -> None:
    def swap(tree: Path) -> None:
        one, two = sorted((tree / "blob").iterdir())
        content = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(content)

    tamper.rewrite(pair.remote, pair.branch, swap)
    run(pair.b)
    texts = "".join(str(row[0]) for row in pair.b.sql("SELECT data FROM part WHERE session_id='ses_2'"))
    assert texts == "" or LARGE + "2" in texts, "a value of another message was shown in its place"
    pair.mended()


def test_taking_the_encryption_off_is_refused(pair: Pair, tmp_path: Path, machine: Make) -> None:
    """By a manifest that says `none`, and a log in plain text."""

    def plain(tree: Path) -> None:
        path = tree / ".opencode-sidecar/vault.json"
        manifest = json.loads(path.read_bytes())
        path.write_text(json.dumps({"format": 1, "vault": manifest["vault"], "encryption": "none", "created": 1}))

    tamper.rewrite(pair.remote, "main", plain)
    c = machine("c")
    with pytest.raises(SidecarError) as caught:
        c.sidecar.link(LinkParams(str(pair.remote), key=pair.key), Task())
    assert caught.value.kind == "wrongKey", "a person who gave a key would have published in plain text"
    if os.name == "posix":  # and one who waits to be asked for it
        status, screen = at_terminal(c, ["link", str(pair.remote)], {"[y/N]": "\n"})
        assert "Not encrypted" in screen
        assert (status, (c.own_state / "device.json").exists()) == (130, False), "nobody was asked before everything went out in plain text"
    turn(pair.b, "9")
    run(pair.b)
    assert b"hello 9" not in tamper.every_byte(pair.remote)
    head = {"format": 1, "vault": "x", "device": {"id": "c" * 32}, "sequence": 1, "segment": {"path": "x"}}
    tamper.rewrite(pair.remote, pair.branch, lambda tree: (tree / "head.json").write_text(json.dumps(head)))
    run(pair.b)
    tamper.rewrite(pair.remote, pair.branch, lambda tree: (tree / "head").unlink())
    assert any("not encrypted" in text for text in run(pair.b))


@pytest.mark.parametrize("change", [{"forgotten": ["x"]}, {"retired": []}, {"created": 7}, {"key": {"id": "0" * 16, "check": "0" * 32}}, {"mac": "0" * 64}])
def test_a_manifest_that_somebody_edited_lets_nobody_in(pair: Pair, machine: Make, change: dict[str, object]) -> None:
    if "retired" in change:
        pair.key = pair.a.sidecar.rotate_key(__import__("protocol.keys", fromlist=["keys"]).RotateKeyParams(None), Task()).recovery_key

    def edit(tree: Path) -> None:
        path = tree / ".opencode-sidecar/vault.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | change))

    tamper.rewrite(pair.remote, "main", edit)
    c = machine("c")
    with pytest.raises(SidecarError) as caught:
        c.sidecar.link(LinkParams(str(pair.remote), key=pair.key), Task())
    assert caught.value.kind in ("wrongKey", "remoteNotVault")
    assert not (c.own_state / "device.json").exists()
    assert not (c.own_state / "keys.json").exists()


def test_another_vault_in_the_same_place_is_not_mixed_in(pair: Pair, machine: Make, tmp_path: Path) -> None:
    other = machine("other")
    foreign = bare_remote(tmp_path / "foreign.git")
    other.sidecar.init(InitParams(str(foreign)), Task())
    turn(other, "7")
    run(other)
    for branch, commit in tamper.logs(foreign).items():
        tamper.git(pair.remote, "fetch", "-q", str(foreign), branch)
        tamper.point(pair.remote, branch, commit)
    right = tamper.git(pair.remote, "rev-parse", "main")
    tamper.git(pair.remote, "fetch", "-q", str(foreign), "main")
    tamper.point(pair.remote, "main", tamper.git(foreign, "rev-parse", "main"))
    turn(pair.a, "8")
    before = tamper.logs(pair.remote)
    for one in (pair.a, pair.b):
        with pytest.raises(SidecarError) as caught:
            run(one)
        assert caught.value.kind == "remoteNotVault", "conversations would have gone into somebody else's vault"
        assert "ses_7" not in sessions(one)
    assert tamper.logs(pair.remote) == before
    tamper.point(pair.remote, "main", right)
    run(pair.a)
    run(pair.b)
    assert "ses_7" not in sessions(pair.b)
    assert pair.b.content() == pair.a.content(), "the right repository is back, and something does not arrive"


@pytest.mark.parametrize("lost", [["main"], ["main", "sessions"]])
def test_a_remote_that_lost_the_vault_is_named_and_filled_again(pair: Pair, machine: Make, lost: list[str]) -> None:
    for branch in tamper.git(pair.remote, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/").splitlines():
        if branch.split("/")[0] in lost:
            tamper.git(pair.remote, "update-ref", "-d", f"refs/heads/{branch}")
    assert any("--move-to" in text for text in run(pair.a)), "no new machine can join, and nobody is told"
    pair.a.cli("init", "--move-to", str(pair.remote))
    assert not run(pair.a)
    run(pair.b)
    c = machine("c")
    c.sidecar.link(LinkParams(str(pair.remote), key=pair.key), Task())
    run(c)
    assert c.content() == pair.truth, "what was put back is not all"


def test_a_damaged_log_does_not_keep_out_the_others(pair: Pair, machine: Make) -> None:
    """git fetches all or nothing: one object that is missing on the remote would stop every machine's work."""
    c = machine("c")
    c.sidecar.link(LinkParams(str(pair.remote), key=pair.key), Task())
    turn(c, "5")
    run(c)
    for blob in tamper.git(pair.remote, "ls-tree", "-r", "--format=%(objectname)", pair.branch, "seg/").splitlines()[1:]:
        loose = pair.remote / "objects" / blob[:2] / blob[2:]
        loose.chmod(0o600)
        loose.write_bytes(b"")
    assert run(pair.b), "a log cannot be had, and nobody is told"
    assert "ses_5" in sessions(pair.b), "the work of a healthy machine does not arrive because another one's log is damaged"


def test_a_ref_of_nonsense_is_not_taken_for_a_copied_machine(pair: Pair) -> None:
    """git lists it as commit 0000…; whoever is told to link anew gives up an identity for nothing."""
    (pair.remote / "refs/heads" / pair.branch).write_text("nonsense\n")
    turn(pair.a, "8")
    try:
        run(pair.a)
    except SidecarError as error:
        assert error.kind != "identityCloned"  # noqa: PT017 - what the remote says of its own damage is not ours
