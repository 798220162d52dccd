"""The writer keeps order, drops nothing but outdated reports, and never blocks who must not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.rpc import stdio
from sidecar.rpc.framing import Decoder
from sidecar.rpc.stdio import Reader, Writer


class Pipe:
    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def bodies(self) -> list[bytes]:
        """Everything until the writing end is closed."""
        os.close(self.write)
        decoder, found = Decoder(), []
        while data := os.read(self.read, 1 << 16):
            found += decoder.feed(data)
        return found


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.read)


def test_a_newer_report_takes_the_place_of_a_queued_one(pipe: Pipe) -> None:
    writer = Writer(pipe.write)  # not started: everything queues
    writer.put(b"begin")
    for index in range(1000):
        writer.put(b"report %d" % index, report_of="t")
    writer.put(b"other", report_of="u")
    writer.settle("t")
    writer.put(b"end")
    writer.put(b"answer")
    writer.start()
    writer.finish(5)
    assert pipe.bodies() == [b"begin", b"report 999", b"other", b"end", b"answer"]


def test_a_report_after_the_end_of_another_use_of_its_token_does_not_overtake(pipe: Pipe) -> None:
    writer = Writer(pipe.write)
    writer.put(b"report 1", report_of="t")
    writer.settle("t")
    writer.put(b"end 1")
    writer.put(b"report 2", report_of="t")
    writer.start()
    writer.finish(5)
    assert pipe.bodies() == [b"report 1", b"end 1", b"report 2"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.none() | st.sampled_from("ab")), max_size=40))
def test_everything_but_outdated_reports_arrives_in_order(messages: list[tuple[bytes, str | None]]) -> None:
    pipe = Pipe()
    writer = Writer(pipe.write)
    for index, (body, token) in enumerate(messages):
        writer.put(b"%d " % index + body, report_of=token)
    writer.start()
    writer.finish(5)
    arrived = pipe.bodies()
    os.close(pipe.read)
    plain = [b"%d " % index + body for index, (body, token) in enumerate(messages) if token is None]
    assert [body for body in arrived if body in plain] == plain
    for token in "ab":
        last = [b"%d " % index + body for index, (body, its) in enumerate(messages) if its == token][-1:]
        assert [body for body in last if body in arrived] == last, "the newest report of a token must arrive"


def test_four_threads_do_not_mix_their_bytes(pipe: Pipe) -> None:
    writer = Writer(pipe.write)
    writer.start()
    bodies = [bytes([65 + thread]) * 5000 for thread in range(4)]

    def produce(body: bytes) -> None:
        for _ in range(3):
            writer.put(body)

    threads = [threading.Thread(target=produce, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.finish(5)
    assert sorted(pipe.bodies()) == sorted(bodies * 3)


def test_put_never_blocks_and_producers_wait_for_room(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "MAX_QUEUED_BYTES", 1 << 20)
    writer = Writer(pipe.write)
    writer.start()
    began = time.monotonic()
    for _ in range(32):
        writer.put(b"x" * (1 << 16))
    assert time.monotonic() - began < 10, "a host that does not read holds up the work"
    assert writer.wait_for_room(0.05) is False, "nobody reads: there is no room"
    decoder, found = Decoder(), 0
    while found < 32:
        found += len(decoder.feed(os.read(pipe.read, 1 << 16)))
    assert writer.wait_for_room(2) is True
    writer.finish(5)
    os.close(pipe.write)


def test_a_broken_pipe_is_told_once_and_swallows_the_rest(pipe: Pipe) -> None:
    broken = threading.Event()
    os.close(pipe.read)
    pipe.read = os.open(os.devnull, os.O_RDONLY)
    writer = Writer(pipe.write, broken.set)
    writer.start()
    writer.put(b"x")
    assert broken.wait(2)
    writer.put(b"y")
    assert writer.wait_for_room(0)
    writer.finish(1)
    os.close(pipe.write)


def test_the_reader_hands_over_bodies_and_the_end(pipe: Pipe) -> None:
    bodies: list[bytes] = []
    ends: list[str | None] = []
    reader = Reader(pipe.read, bodies.append, ends.append)
    reader.start()
    os.write(pipe.write, b"Content-Length: 2\r\n\r\nab")
    os.close(pipe.write)
    reader.join(2)
    assert (bodies, ends) == ([b"ab"], [None])


def test_the_reader_tells_why_a_stream_is_lost(pipe: Pipe) -> None:
    ends: list[str | None] = []
    reader = Reader(pipe.read, lambda _: None, ends.append)
    reader.start()
    os.write(pipe.write, b"nonsense\r\n\r\n")
    reader.join(2)
    os.close(pipe.write)
    assert ends[0] is not None
    assert "Content-Length" in ends[0]
