"""Params and results that belong to no area, and LSP's own where we need to check them strictly."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen


@frozen
class InitializationOptions:
    """Path overrides, as the command line's: opencode's own folders, and the database.

    `protocol_version`: what the host speaks; another than ours is refused with an error that names both.
    """

    data_root: str | None = None
    config_root: str | None = None
    state_root: str | None = None
    db: str | None = None
    protocol_version: int | None = None


@frozen
class InitializeParams:
    """LSP's `initialize`. Members that other LSP clients send and we do not use are accepted and ignored."""

    process_id: int | None = None
    client_info: dict[str, Any] | None = None
    locale: str | None = None
    initialization_options: InitializationOptions | None = None
    capabilities: dict[str, Any] = Factory(dict)
    root_path: str | None = None
    root_uri: str | None = None
    trace: str | None = None
    workspace_folders: list[Any] | None = None
    work_done_token: str | int | None = None


@frozen
class Experimental:
    """Ours in the InitializeResult. `pid`: the server's; a launcher between host and server has another."""

    protocol_version: int
    methods: list[str]
    features: list[str]
    pid: int
    configured: bool


@frozen
class ExperimentalCapabilities:
    opencode_sidecar: Experimental


@frozen
class Capabilities:
    experimental: ExperimentalCapabilities


@frozen
class ServerInfo:
    name: str
    version: str


@frozen
class InitializeResult:
    capabilities: Capabilities
    server_info: ServerInfo


@frozen
class NoParams:
    """Nothing, `{}` or null."""


@frozen
class MessageParams:
    """`type`: 1 error, 2 warning, 3 info, 4 log, as in LSP."""

    type: int
    message: str


@frozen
class MessageAction:
    title: str


@frozen
class QuestionParams:
    """`type` as in `MessageParams`. The answer is the chosen one of `actions`, or null.

    `kind`, beside what LSP has: what it is about, deletionGuard or identityCloned.
    """

    type: int
    message: str
    actions: list[MessageAction]
    kind: str


@frozen
class ProgressParams:
    """`value`: WorkDoneProgress begin, report or end; reports also carry done, total and bytes."""

    token: str | int
    value: dict[str, Any]


@frozen
class TokenParams:
    token: str | int


@frozen
class CancelParams:
    id: str | int
