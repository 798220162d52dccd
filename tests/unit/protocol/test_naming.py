"""snake_case and camelCase, there and back."""

from __future__ import annotations

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from protocol.codegen import classes
from protocol.naming import camel, snake, to_wire

WORDS = st.from_regex(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*){0,4}", fullmatch=True)


@given(WORDS)
def test_the_round_trip(name: str) -> None:
    assert snake(camel(name)) == name


@pytest.mark.parametrize(("ours", "wire"), [("work_done_token", "workDoneToken"), ("blob_sha256sum", "blobSha256sum"), ("id", "id"), ("path_b64", "pathB64")])
def test_names_as_hosts_expect_them(ours: str, wire: str) -> None:
    assert camel(ours) == wire


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_no_two_members_share_a_wire_name(cls: type) -> None:
    names = [camel(field.name) for field in cls.__attrs_attrs__]  # type: ignore[attr-defined]
    assert len(set(names)) == len(names)


@frozen
class Thing:
    the_name: str
    the_rest: dict[str, object]
    nothing: None = None


def test_defaults_are_emitted_and_keys_of_data_stay() -> None:
    assert to_wire([Thing("n", {"snake_key": Thing("m", {})})]) == [
        {"theName": "n", "theRest": {"snake_key": {"theName": "m", "theRest": {}, "nothing": None}}, "nothing": None}
    ]
