"""Frames survive any way of cutting them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rpc.framing import MAX_HEADER_BYTES, Decoder, FramingError, encode

HEADERS = st.sampled_from(
    [
        "Content-Length: {}\r\n\r\n",
        "content-length:{}\r\n\r\n",
        "CONTENT-LENGTH :  {}  \n\n",
        "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        "\r\n\nContent-Length: {}\nX: y\r\n\r\n",
    ]
)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=300)), max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_bodies_come_out_as_they_went_in_however_they_are_cut(messages: list[tuple[str, bytes]], cuts: list[int]) -> None:
    # a body that begins with a line feed is fine: only what precedes a header is skipped
    stream = b"".join(header.format(len(body)).encode() + body for header, body in messages)
    decoder, bodies, at = Decoder(), [], 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        bodies += decoder.feed(stream[at : at + step])
        at += step
    assert bodies == [body for _, body in messages]


@given(st.lists(st.binary(max_size=200)))
def test_encode_and_decode_are_inverse(bodies: list[bytes]) -> None:
    assert Decoder().feed(b"".join(map(encode, bodies))) == bodies


@given(st.binary(max_size=500))
def test_any_bytes_give_bodies_or_one_kind_of_error(data: bytes) -> None:
    try:
        Decoder().feed(data)
    except FramingError:
        pass


@pytest.mark.parametrize("length", ["-1", "1.5", "", "0x5", "99999999999", "9" * 40])
def test_lengths_that_lose_the_stream(length: str) -> None:
    with pytest.raises(FramingError):
        Decoder().feed(f"Content-Length: {length}\r\n\r\n".encode())


@pytest.mark.parametrize("header", ["X: 1", "hello", "Content-Length 5"])
def test_headers_that_lose_the_stream(header: str) -> None:
    with pytest.raises(FramingError):
        Decoder().feed(header.encode() + b"\r\n\r\n")


def test_a_header_without_end_is_bounded() -> None:
    decoder = Decoder()
    assert decoder.feed(b"x" * MAX_HEADER_BYTES) == []
    with pytest.raises(FramingError):
        decoder.feed(b"x")


def test_the_limit_is_that_of_the_body() -> None:
    assert Decoder(max_body=5).feed(encode(b"12345")) == [b"12345"]
    with pytest.raises(FramingError):
        Decoder(max_body=4).feed(encode(b"12345"))
