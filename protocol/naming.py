"""snake_case in Python, camelCase on the wire."""

from __future__ import annotations

from typing import Any

from attrs import fields, has


def camel(name: str) -> str:
    """`work_done_token` -> `workDoneToken`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def snake(name: str) -> str:
    """`workDoneToken` -> `work_done_token`; the inverse of `camel` for the names of this protocol."""
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def to_wire(value: Any) -> Any:
    """attrs instances as plain JSON values, defaults included. Keys of dicts are data and stay as they are."""
    if has(type(value)):
        return {camel(field.name): to_wire(getattr(value, field.name)) for field in fields(type(value))}
    if isinstance(value, dict):
        return {key: to_wire(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(item) for item in value]
    return value
