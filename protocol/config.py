"""Params and results of the methods about configuration. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen


@frozen
class ConfigConflict:
    """Changed here and elsewhere in different ways. `id`: what `sync/resolve` takes as `path`. `key`: the member; empty: the whole file.

    `mine`, `theirs`: the values as JSON, shortened; null: removed there; "": not shown.
    """

    id: str
    path: str
    key: list[str] = Factory(list)
    mine: str | None = None
    theirs: str | None = None


@frozen
class ResolveParams:
    """`path`: a conflict's id, or a file, for all conflicts in it; null lists them. `choice`: mine, theirs, both or text.

    `text`: with choice text: what it shall be; JSON for a member.
    """

    path: str | None = None
    choice: str | None = None
    text: str | None = None


@frozen
class ResolveResult:
    """`conflicts`: those that are left. `settled`: ids; the next cycle takes the result to the other machines."""

    conflicts: list[ConfigConflict] = Factory(list)
    settled: list[str] = Factory(list)


@frozen
class ConfigSetParams:
    """`values`: setting -> true, false or a list of texts; null: its default."""

    values: dict[str, Any] = Factory(dict)


@frozen
class ConfigResult:
    """Our settings as they apply. `path`: their file. `source`: the file they came from, when that is opencode-synced's; else the same."""

    path: str
    source: str
    settings: dict[str, bool]
    lists: dict[str, list[str]]
    problems: list[str] = Factory(list)


@frozen
class EnableSecretsParams:
    """`acknowledge_private`: the user says that strangers cannot read the remote; needed where neither encryption nor GitHub shows it."""

    acknowledge_private: bool = False
    work_done_token: str | int | None = None
