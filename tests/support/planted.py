"""Secrets that never were any: assembled when a test runs, so that the repository holds none; and where to look for them."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tests.support.machines import FIXTURES
from tests.support.tamper import every_byte, git

CORPUS = FIXTURES / "secrets"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ALPHABETS = {
    "alnum": string.ascii_letters + string.digits,
    "upper": string.ascii_uppercase + string.digits,
    "digit": string.digits,
    "hex": "0123456789abcdef",
    "b64": string.ascii_letters + string.digits + "+/",
    "url": string.ascii_letters + string.digits + "_-",
    "password": string.ascii_letters + string.digits + "^%-_",
}


@dataclass(frozen=True)
class Sample:
    """`text` as it would stand in a transcript, `value` the secret in it."""

    rule: str
    context: str
    text: str
    value: str


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def assemble(piece: str, chance: random.Random) -> str:
    def made(match: re.Match[str]) -> str:
        kind, count = match[1], int(match[2] or 0)
        if kind == "jwt":
            return _jwt(chance)
        if kind == "pem":
            body = base64.b64encode(chance.randbytes(count * 3 // 4)).decode()
            return "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
        return "".join(chance.choice(_ALPHABETS[kind]) for _ in range(count))

    return re.sub(r"<(\w+)(?::(\d+))?>", made, piece)


def _jwt(chance: random.Random) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    claims = {"sub": str(chance.randrange(10**9)), "iat": 1_700_000_000}
    return f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}.{part(chance.randbytes(32))}"


def samples(seed: int = 1, each: int = 1) -> Iterator[Sample]:
    """Every kind of key in every context."""
    chance = random.Random(seed)
    for _ in range(each):
        for key in lines("keys"):
            for context in lines("contexts"):
                value = "".join(assemble(piece, chance) for piece in key["pieces"])
                yield Sample(key["rule"], context["name"], context["text"].replace("{}", key.get("before", "") + value + key.get("after", "")), value)


def github(seed: int = 1) -> str:
    return assemble("gh", random.Random()) + assemble("p_<alnum:36>", random.Random(seed))


def reaches(repository: Path, canary: str) -> bool:
    """Whether a text is in any object of a git repository, decompressed as far as it can be."""
    data = every_byte(repository)
    found = canary.encode() in data or canary.encode() in git(repository, "log", "--all", "--format=%B").encode()
    for name in git(repository, "cat-file", "--batch-check=%(objectname) %(objecttype)", "--batch-all-objects").splitlines():
        if found:
            return True
        sha, kind = name.split()
        if kind == "blob":
            blob = subprocess.run(["git", "cat-file", "blob", sha], cwd=repository, check=True, capture_output=True).stdout
            found = any(canary.encode() in frame for frame in _frames(blob))
    return found


def _frames(blob: bytes) -> Iterator[bytes]:
    at = blob.find(ZSTD_MAGIC)
    while at >= 0:
        try:
            yield zstandard.ZstdDecompressor().decompressobj().decompress(blob[at:])
        except zstandard.ZstdError:
            pass
        at = blob.find(ZSTD_MAGIC, at + 1)
