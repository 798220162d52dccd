"""The environment in which every git runs: the user's credentials, none of the user's surprises."""

from __future__ import annotations

import os
from collections.abc import Mapping

_KEPT = frozenset({"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_PROXY_SSL_CAINFO", "GIT_EXEC_PATH"})
_DROPPED = frozenset({"ELECTRON_RUN_AS_NODE", "NODE_OPTIONS", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD"})
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.longpaths": "true",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "fetch.fsckObjects": "false",
    "core.compression": "0",
    "pack.compression": "0",
    "pack.window": "0",
    "push.gpgSign": "false",
    "credential.interactive": "never",
}


def hardened(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a git child: inherited GIT_* scrubbed, no prompt, no hook, no transport but https, ssh and file."""
    env = {name: value for name, value in environ.items() if name not in _DROPPED and (not name.startswith("GIT_") or name in _KEPT)}
    env.update(
        GIT_ALLOW_PROTOCOL="https:http:ssh:file",
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="true" if os.name == "posix" else "echo",
        SSH_ASKPASS="true" if os.name == "posix" else "echo",
        SSH_ASKPASS_REQUIRE="never",
        GCM_INTERACTIVE="never",
        GIT_OPTIONAL_LOCKS="0",
        GIT_NO_REPLACE_OBJECTS="1",
        LC_ALL="C",
        LANGUAGE="C",
    )
    env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=3")
    env["GIT_CONFIG_COUNT"] = str(len(_CONFIG))
    for index, (key, value) in enumerate(_CONFIG.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env
