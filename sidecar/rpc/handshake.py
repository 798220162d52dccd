"""The first answer, given before anything heavy is imported. Standard library only, and little of it.

The list of methods is static here; a contract test compares it with protocol.methods.
"""

from __future__ import annotations

import os

NAME = "opencode-sidecar"
VERSION = "0.1.0"
PROTOCOL_VERSION = 1
METHODS = ["initialize", "shutdown", "sync/init", "sync/link", "sync/run", "sync/pull", "sync/push", "sync/status", "sync/preview", "sync/verify"]
FEATURES = ["cancel", "progress", "sessions"]
OPTIONS = {"dataRoot", "configRoot", "stateRoot", "db"}


def problem_with(params: object) -> list[str]:
    """What is wrong with `initialize` params, as wire paths; empty when nothing is."""
    if params is None:
        return []
    if not isinstance(params, dict):
        return ["params must be an object @ $"]
    issues = []
    host = params.get("processId")
    if host is not None and (not isinstance(host, int) or isinstance(host, bool)):
        issues.append("must be an integer or null @ $.processId")
    options = params.get("initializationOptions")
    if options is None:
        return issues
    if not isinstance(options, dict):
        return [*issues, "must be an object @ $.initializationOptions"]
    for name, value in options.items():
        if name not in OPTIONS:
            issues.append(f"unknown member @ $.initializationOptions.{name}")
        elif value is not None and not isinstance(value, str):
            issues.append(f"must be a string @ $.initializationOptions.{name}")
    return issues


def wrong_version(params: object) -> int | None:
    """The protocol version that the host insists on, when it is another."""
    wanted = params.get("protocolVersion") if isinstance(params, dict) else None
    return wanted if isinstance(wanted, int) and wanted != PROTOCOL_VERSION else None


def result(state_root: str) -> dict[str, object]:
    """The InitializeResult. `pid`: ours; a launcher between host and server may have another."""
    experimental = {
        "protocolVersion": PROTOCOL_VERSION,
        "methods": METHODS,
        "features": FEATURES,
        "pid": os.getpid(),
        "configured": os.path.isfile(os.path.join(state_root, "opencode-sidecar", "device.json")),
    }
    return {"capabilities": {"experimental": {"opencodeSidecar": experimental}}, "serverInfo": {"name": NAME, "version": VERSION}}
