"""Params are taken as they are or refused with every issue named."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import NOTHING, Factory, fields, frozen
from hypothesis import given
from hypothesis import strategies as st

from protocol.methods import METHODS
from protocol.naming import camel, to_wire
from sidecar.rpc.converter import InvalidParams, make_converter, structure

CONVERTER = make_converter()


@frozen
class Inner:
    row_id: int
    label: str | None = None


@frozen
class Outer:
    session_id: str
    work_done_token: str | int | None = None
    inner: Inner | None = None
    all_rows: list[Inner] = Factory(list)
    names: list[str] = Factory(list)
    free: dict[str, Any] = Factory(dict)
    is_on: bool = False


def issues(params: Any) -> list[str]:
    with pytest.raises(InvalidParams) as caught:
        structure(CONVERTER, params, Outer)
    return caught.value.issues


inner = st.builds(Inner, st.integers(), st.none() | st.text())
outer = st.builds(
    Outer,
    st.text(),
    st.none() | st.text() | st.integers(),
    st.none() | inner,
    st.lists(inner, max_size=3),
    st.lists(st.text(), max_size=3),
    st.dictionaries(st.text(), st.integers() | st.none()),
    st.booleans(),
)


@given(outer)
def test_the_wire_and_back(value: Outer) -> None:
    assert structure(CONVERTER, to_wire(value), Outer) == value


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "required member is missing @ $.sessionId"),
        ({"sessionId": 5}, "must be a string @ $.sessionId"),
        ({"sessionId": None}, "must be a string @ $.sessionId"),
        ({"sessionId": "s", "isOn": "false"}, "must be a boolean @ $.isOn"),
        ({"sessionId": "s", "isOn": 1}, "must be a boolean @ $.isOn"),
        ({"sessionId": "s", "workDoneToken": True}, "@ $.workDoneToken"),
        ({"sessionId": "s", "workDoneToken": 1.5}, "@ $.workDoneToken"),
        ({"sessionId": "s", "inner": {"rowId": "12"}}, "must be an integer @ $.inner.rowId"),
        ({"sessionId": "s", "inner": {"rowId": True}}, "must be an integer @ $.inner.rowId"),
        ({"sessionId": "s", "inner": {"rowId": 1.0}}, "must be an integer @ $.inner.rowId"),
        ({"sessionId": "s", "inner": [["rowId", 1]]}, "must be an object @ $.inner"),
        ({"sessionId": "s", "allRows": [{"rowId": 1}, {}]}, "required member is missing @ $.allRows[1].rowId"),
        ({"sessionId": "s", "names": "abc"}, "must be an array @ $.names"),
        ({"sessionId": "s", "free": []}, "must be an object @ $.free"),
        ({"sessionId": "s", "session_id": "s"}, "unknown member session_id @ $"),
        ({"sessionId": "s", "inner": {"rowId": 1, "x": 1}}, "unknown member x @ $.inner"),
    ],
)
def test_what_does_not_fit_is_named_with_its_wire_path(params: Any, where: str) -> None:
    assert any(where in issue for issue in issues(params)), issues(params)


def test_every_issue_is_reported_at_once() -> None:
    assert len(issues({"isOn": 5, "names": 5})) == 3


@pytest.mark.parametrize("params", [[], [1], 5, "x", True])
def test_params_must_be_an_object(params: Any) -> None:
    assert issues(params) == ["params must be an object @ $"]


@pytest.mark.parametrize("method", [m for m in METHODS if m.direction == "toServer"], ids=lambda m: m.name)
def test_every_method_takes_its_own_params(method: Any) -> None:
    """Each default that is on the wire is accepted when a host sends it back."""
    required = {"str": "x", "int": 1, "str | int": "x", "list[str]": ["x"]}
    given = {f.name: required[str(f.type)] for f in fields(method.params) if f.default is NOTHING}
    value = method.params(**given)
    if method.name != "initialize":  # checked by the handshake: other clients' members are accepted there
        assert structure(CONVERTER, to_wire(value), method.params) == value
    assert all(camel(f.name) in to_wire(value) for f in fields(method.params))
