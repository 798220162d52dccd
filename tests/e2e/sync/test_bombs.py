"""A few kilobytes on the remote that become gigabytes where they are read: they are refused, and the other logs go on."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from protocol.sync import LinkParams
from sidecar.domain.task import Task
from tests.e2e.sync.test_tamper import Make, Pair, run, sessions, turn
from tests.support import tamper

WIDTH, LEVELS = 16, 7
"""A quarter of a milliard paths."""
DEEP = 5_000


def put(remote: Path, *command: str, data: bytes) -> str:
    return subprocess.run(["git", *command], cwd=remote, input=data, check=True, capture_output=True).stdout.decode().strip()


def wide(remote: Path) -> str:
    """A tree whose every level names the one below it many times."""
    below = f"100644 blob {put(remote, 'hash-object', '-w', '--stdin', data=b'x')}"
    for _ in range(LEVELS):
        below = "040000 tree " + put(remote, "mktree", data="".join(f"{below}\t{number:03d}\n" for number in range(WIDTH)).encode())
    return below


def deep(remote: Path) -> str:
    """Folders in folders, written as one pack: a process for each would take minutes."""
    kind, sha, objects = b"100644", hashlib.sha1(b"blob 0\0").digest(), [b"\x30" + zlib.compress(b"")]
    for _ in range(DEEP):
        data = kind + b" x\0" + sha
        objects.append(bytes([0xA0 | len(data) & 15, len(data) >> 4]) + zlib.compress(data))
        kind, sha = b"40000", hashlib.sha1(b"tree %d\0" % len(data) + data).digest()
    pack = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects)
    put(remote, "index-pack", "--stdin", data=pack + hashlib.sha1(pack).digest())
    return f"040000 tree {sha.hex()}"


@pytest.mark.parametrize("make", [wide, deep])
def test_a_log_of_endless_folders_stops_nobody(machine: Make, remote: Path, make: object) -> None:
    pair = Pair(machine, remote)
    run(pair.b)
    seg, root = f"{pair.last}:seg", tamper.git(remote, "ls-tree", pair.last).splitlines()
    bomb = make(remote)  # type: ignore[operator]
    mixed = put(remote, "mktree", data=(tamper.git(remote, "ls-tree", seg) + f"\n{bomb}\tzzz\n").encode())
    top = put(remote, "mktree", data="\n".join([*(line for line in root if not line.endswith("\tseg")), f"040000 tree {mixed}\tseg", ""]).encode())
    tamper.point(remote, pair.branch, tamper.git(remote, "commit-tree", "-m", "x", "-p", pair.last, top))
    turn(pair.b, "7")
    warnings = run(pair.b)
    assert len(warnings) == 1
    assert "Nothing of it was used" in warnings[0]
    late = machine("late")
    late.sidecar.link(LinkParams(str(remote), key=pair.key), Task())
    assert len(run(late)) == 1
    assert "ses_7" in sessions(late), "one log that is a bomb keeps the others from a new machine"
    pair.truth = pair.b.content()
    pair.mended()


def test_a_pack_of_kilobytes_that_says_it_is_gigabytes_stops_nobody(machine: Make, remote: Path) -> None:
    """A delta is a list of copies: seven bytes of it make sixteen megabytes, all of which git would hold at once."""

    def number(value: int) -> bytes:
        return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])

    def entry(kind: int, data: bytes, before: bytes = b"") -> bytes:
        return bytes([kind << 4 | len(data) & 15 | 128]) + number(len(data) >> 4) + before + zlib.compress(data)

    pair = Pair(machine, remote)
    block, copies = bytes(1 << 24), 40
    name, size = hashlib.sha1(b"blob %d\0" % len(block) + block).digest(), copies * 0xFFFFFF
    delta = number(len(block)) + number(size) + b"\xf0\xff\xff\xff" * copies
    pack = b"PACK" + struct.pack(">II", 2, 2) + entry(3, block) + entry(7, delta, name)
    put(remote, "index-pack", "--stdin", data=pack + hashlib.sha1(pack).digest())
    large = hashlib.sha1(b"blob %d\0" % size)
    for _ in range(copies):
        large.update(memoryview(block)[:-1])
    tree = put(remote, "mktree", data=f"100644 blob {large.hexdigest()}\thead\n100644 blob {name.hex()}\tbase\n".encode())
    commit = tamper.git(remote, "commit-tree", "-m", "x", tree)
    tamper.point(remote, f"sessions/{'9' * 32}", commit)
    warnings = run(pair.b)
    assert any("9" * 32 in text for text in warnings)
    assert sessions(pair.b) == {"ses_1", "ses_2", "ses_3"}, "one log that is a bomb keeps the others out"
    there = put(pair.b.own_state / "vault.git", "cat-file", "--batch-check", data=f"{large.hexdigest()}\n".encode())
    assert there.endswith("missing"), "git held all of it at once, and kept it"
