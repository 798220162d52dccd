"""What comes from the host and from the command line."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from urllib.parse import urlsplit

from attrs import fields

from protocol.methods import METHODS
from protocol.naming import camel
from sidecar.adapters.git.urls import check_remote_url
from sidecar.domain.errors import SidecarError
from sidecar.rpc import framing as frames
from sidecar.rpc import handshake
from sidecar.rpc.converter import InvalidParams, make_converter, structure
from tests.fuzz.feed import Feed

CONVERTER = make_converter()
CALLED = [method for method in METHODS if method.direction == "toServer"]


def framing(data: bytes) -> None:
    """However the bytes are cut, the same bodies come out; where the stream is lost, those before it may be lost with it."""
    feed = Feed(data)
    size, stream = feed.int() + 1, feed.rest()
    whole, held = _bodies([stream])
    cut, also_held = _bodies([stream[at : at + size] for at in range(0, len(stream), size)])
    assert held == also_held
    assert cut == whole or (not held and cut[: len(whole)] == whole)


def _bodies(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    decoder, found = frames.Decoder(1 << 16), list[bytes]()
    for piece in pieces:
        try:
            found += decoder.feed(piece)
        except frames.FramingError:
            return found, False
    return found, True


def params(data: bytes) -> None:
    feed = Feed(data)
    method = feed.pick(CALLED)
    names = [camel(field.name) for field in fields(method.params)]
    value = feed.json(names) if feed.int() & 1 else {name: feed.json() for name in names if feed.int() & 1}
    try:
        structure(CONVERTER, value, method.params)
    except InvalidParams as error:
        json.dumps(error.issues)


def initialize(data: bytes) -> None:
    feed = Feed(data)
    value = feed.json(["processId", "initializationOptions", "capabilities", "experimental", *handshake.OPTIONS])
    for issue in handshake.problem_with(value):
        assert isinstance(issue, str)
    if not handshake.problem_with(value):
        handshake.wrong_version(value)
        handshake.wants_binary_output(value)


def url(data: bytes) -> None:
    feed = Feed(data)
    windows = bool(feed.int() & 1)
    text = feed.pick(["", "https://", "ssh://", "file:///", "git@host:", "ext::", "https://u:secret77@", "/", "C:\\"]) + feed.rest().decode(
        "utf-8", "surrogateescape"
    )
    with suppress(SidecarError):
        found = check_remote_url(text, windows=windows)
        assert not found.url.startswith("-")
        assert not any(ord(char) < 32 or ord(char) == 127 for char in found.url)
        assert found.kind in ("https", "ssh", "file")
        if found.kind == "file" and not found.url.startswith("file:"):
            return  # a path, which git takes as it is
        if "://" in found.url:
            parts = urlsplit(found.url)
            assert parts.scheme in ("https", "ssh", "file", "http")
            assert not parts.password or found.kind == "ssh" or parts.password not in found.display.removeprefix(f"{parts.scheme}://{parts.hostname}")
        assert not re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*)?::", found.url), "git would start a remote helper"
