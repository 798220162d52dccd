"""What a method is."""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen
class Method:
    """One row of the method table. `result` is None for notifications; `since`: the version that brought it."""

    name: str
    kind: Literal["request", "notification"]
    direction: Literal["toServer", "toClient"]
    params: type
    result: type | None = None
    cancellable: bool = False
    progress: bool = False
    idempotent: bool = False
    since: str = "0.1.0"
    doc: str = ""
