"""One definition of the protocol; everything else is generated from it or equal to it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pygls
from pygls.protocol.json_rpc import JsonRPCProtocol

import protocol
from protocol import codegen
from protocol.errors import KINDS
from protocol.methods import METHODS, served
from protocol.naming import camel, snake
from protocol.sync import Attention
from sidecar.rpc import handshake
from sidecar.rpc.protocol import PRIVATE_NAMES


def test_generated_files_are_fresh() -> None:
    for path, text in codegen.outputs().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run python -m protocol.codegen"


def test_the_first_answer_lists_what_is_served() -> None:
    assert served() == handshake.METHODS
    assert handshake.PROTOCOL_VERSION == protocol.PROTOCOL_VERSION
    assert handshake.VERSION == protocol.VERSION


def test_the_version_is_written_once_for_people_and_once_for_programs() -> None:
    project = tomllib.loads((codegen.ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == protocol.VERSION


def test_what_we_use_of_pygls_without_its_promise_is_there() -> None:
    assert pygls.__file__
    instance = JsonRPCProtocol(None, None)  # type: ignore[arg-type]
    for name in PRIVATE_NAMES:
        assert hasattr(instance, name), name


def test_error_codes_are_distinct_and_outside_reserved_blocks() -> None:
    codes = [code for code, _ in KINDS.values()]
    assert len(set(codes)) == len(codes)
    theirs = ("parseError", "invalidRequest", "methodNotFound", "notInitialized", "invalidParams", "internal", "cancelled")
    ours = [code for kind, (code, _) in KINDS.items() if kind not in theirs]
    assert all(-31999 <= code <= -31000 for code in ours)


def test_methods_that_report_take_a_progress_token() -> None:
    for method in METHODS:
        if (method.kind, method.direction) == ("request", "toServer") and "/" in method.name:
            takes = any(field.name == "work_done_token" for field in getattr(method.params, "__attrs_attrs__", ()))
            assert takes or not method.progress, f"{method.name}: a host that follows the table is refused"


def test_names_survive_the_round_trip() -> None:
    for method in METHODS:
        for field in getattr(method.params, "__attrs_attrs__", ()):
            assert snake(camel(field.name)) == field.name


def test_the_page_has_words_for_everything_that_waits() -> None:
    """Otherwise a person reads a bare name, and is not told what to do."""
    said = " ".join((Attention.__doc__ or "").split())
    reasons = {found[1] for found in re.finditer(r"(\w+)(?: \([^)]*\))?[,.]", said.partition("`reason`: ")[2])}
    assert {"guard", "secret", "config"} <= reasons
    text = (Path(__file__).parents[2] / "client-shim/src/page/text.ts").read_text()
    titles = set(re.findall(r"^  (\w+): \{ title:", text, re.MULTILINE))
    order = set(re.findall(r'"(\w+)"', text.partition("REASON_ORDER = ")[2].partition("]")[0]))
    assert reasons == titles == order
