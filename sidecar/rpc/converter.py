"""Strict structuring of params: no coercion, no unknown members, issues named by their wire path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args, get_origin

import cattrs
from attrs import fields, has
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from protocol.naming import camel
from sidecar.domain.errors import SidecarError


class InvalidParams(SidecarError):
    """Params that do not fit; `issues` like `required member is missing @ $.remote`."""

    def __init__(self, issues: list[str]) -> None:
        super().__init__("invalidParams", "Invalid params: " + "; ".join(issues), remedy="See docs/protocol.md for the method's params.")
        self.issues = issues


def _strict(kind: type) -> Any:
    def hook(value: Any, _: Any) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise TypeError(f"must be {'an integer' if kind is int else 'a boolean' if kind is bool else 'a string' if kind is str else 'a number'}")
        return value

    return hook


def _token(value: Any, _: Any) -> Any:
    if value is None or (isinstance(value, (int, str)) and not isinstance(value, bool)):
        return value
    raise TypeError("must be a string, an integer or null")


def make_converter() -> cattrs.Converter:
    """For params only; results go through protocol.naming.to_wire."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (int, bool, str, float):
        converter.register_structure_hook(kind, _strict(kind))
    converter.register_structure_hook(str | int | None, _token)
    converter.register_structure_hook(str | int, _token)
    converter.register_structure_hook_factory(_is_generic(list), lambda kind: _only(list, list_structure_factory(kind, converter)))
    converter.register_structure_hook_factory(_is_generic(dict), lambda kind: _only(dict, _dict_hook(kind, converter)))
    converter.register_structure_hook_factory(has, lambda cls: _attrs_hook(cls, converter))
    return converter


def _attrs_hook(cls: type, converter: cattrs.Converter) -> Any:
    names: dict[str, Any] = {field.name: override(rename=camel(field.name)) for field in fields(cls)}
    return _only(dict, make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **names))


def _dict_hook(kind: Any, converter: cattrs.Converter) -> Any:
    _, value_type = get_args(kind) or (str, Any)
    if value_type is Any:
        return lambda value, _: value
    return lambda value, _: {key: converter.structure(item, value_type) for key, item in value.items()}


def _is_generic(kind: type) -> Callable[[Any], bool]:
    return lambda cls: cls is kind or get_origin(cls) is kind


def _only(kind: type, hook: Any) -> Any:
    """cattrs iterates over whatever it can: a string is no list, a list of pairs no object."""

    def strict(value: Any, cls: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"must be {'an array' if kind is list else 'an object'}")
        return hook(value, cls)

    return strict


def structure(converter: cattrs.Converter, params: Any, cls: type) -> Any:
    """`params` as `cls`; null and an absent member count as `{}`. Raises InvalidParams."""
    value = {} if params is None else params
    if not isinstance(value, dict):
        raise InvalidParams(["params must be an object @ $"])
    try:
        return converter.structure(value, cls)
    except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the hooks raised
        issues = [_wire(text) for text in cattrs.transform_error(error, format_exception=_explain)]
        raise InvalidParams(issues or ["malformed @ $"]) from None


def _explain(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "required member is missing"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return "unknown member " + ", ".join(sorted(error.extra_fields))
    return str(error) or "malformed"


def _wire(issue: str) -> str:
    """Paths in issues use wire names: cattrs reports attribute names."""
    text, _, path = issue.rpartition(" @ ")
    return f"{text} @ " + re.sub(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", lambda found: camel(found[0]), path)
