"""The first answer, given before anything heavy is imported. Standard library only, and little of it.

The list of methods is static here; a contract test compares it with protocol.methods.
"""

from __future__ import annotations

import os

NAME = "opencode-sidecar"
VERSION = "0.1.0"
PROTOCOL_VERSION = 1
METHODS = [
    *("initialize", "shutdown"),
    *(
        f"sync/{name}"
        for name in (
            "init",
            "link",
            "findVaults",
            "run",
            "pull",
            "push",
            "status",
            "preview",
            "verify",
            "history",
            "restore",
            "doctor",
            "repair",
            "quarantine",
            "compact",
            "showKey",
            "rotateKey",
            "forgetDevice",
            "secrets",
            "allowSecret",
            "setSecretPolicy",
            "resolve",
            "enableSecrets",
        )
    ),
    *("config/get", "config/set"),
    *(f"shell/{name}" for name in ("exec", "start", "write", "closeStdin", "kill", "ack", "which", "env")),
]
FEATURES = ["binaryOutput", "cancel", "progress", "sessions", "history", "encryption", "config", "secrets", "questions"]
OPTIONS = {"dataRoot": str, "configRoot": str, "stateRoot": str, "db": str, "protocolVersion": int}


def problem_with(params: object) -> list[str]:
    """What is wrong with `initialize` params, as wire paths; empty when nothing is."""
    if params is None:
        return []
    if not isinstance(params, dict):
        return ["params must be an object @ $"]
    issues = []
    host = params.get("processId")
    if host is not None and not (_is(host, int) and 0 < host < 1 << 31):
        issues.append("must be the id of a process, or null @ $.processId")
    options = params.get("initializationOptions")
    if options is None:
        return issues
    if not isinstance(options, dict):
        return [*issues, "must be an object @ $.initializationOptions"]
    for name, value in options.items():
        if name not in OPTIONS:
            issues.append(f"unknown member @ $.initializationOptions.{name}")
        elif value is not None and not _is(value, OPTIONS[name]):
            issues.append(f"must be {'a string' if OPTIONS[name] is str else 'an integer'} @ $.initializationOptions.{name}")
    return issues


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def wrong_version(params: object) -> int | None:
    """The protocol version that the host speaks, when it is another. Also understood outside `initializationOptions`."""
    given = params if isinstance(params, dict) else {}
    wanted = (given.get("initializationOptions") or {}).get("protocolVersion") or given.get("protocolVersion")
    return wanted if _is(wanted, int) and wanted != PROTOCOL_VERSION else None


def wants_binary_output(params: object) -> bool:
    """Whether the host takes `shell/didOutput` as frames of bytes; it says so among its capabilities, which older servers ignore."""
    found = params
    for name in ("capabilities", "experimental", "opencodeSidecar", "binaryOutput"):
        found = found.get(name) if isinstance(found, dict) else None
    return found is True


def can_ask(params: object) -> bool:
    """Whether the host can show `window/showMessageRequest`: LSP's own capability."""
    found = params
    for name in ("capabilities", "window", "showMessage"):
        found = found.get(name) if isinstance(found, dict) else None
    return isinstance(found, dict)


def state_root(override: object) -> str:
    """opencode's state folder by the rules of sidecar.settings, whose import would cost as much as all of this stage."""
    if override:
        return os.path.abspath(os.path.expanduser(str(override)))
    xdg = os.environ.get("XDG_STATE_HOME", "")
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE") or os.path.expanduser("~")
    return os.path.join(xdg if os.path.isabs(xdg) else os.path.join(home, ".local", "state"), "opencode")


def result(state: str) -> dict[str, object]:
    """The InitializeResult. `pid`: ours; a launcher between host and server may have another."""
    experimental = {
        "protocolVersion": PROTOCOL_VERSION,
        "methods": METHODS,
        "features": FEATURES,
        "pid": os.getpid(),
        "configured": os.path.isfile(os.path.join(state, "opencode-sidecar", "device.json")),
    }
    return {"capabilities": {"experimental": {"opencodeSidecar": experimental}}, "serverInfo": {"name": NAME, "version": VERSION}}
