"""The environment in which every git runs: the user's credentials, none of the user's surprises."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

KEPT = frozenset(
    {
        *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_EXEC_PATH"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_PROXY_SSL_CAINFO"),
    }
)
"""What of the user's GIT_* says how to reach a remote. Everything else says which repository, object store or hook to use."""

DEFAULT_SSH = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=3"
_DROPPED = frozenset({"ELECTRON_RUN_AS_NODE", "NODE_OPTIONS", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD"})
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.longpaths": "true",
    "core.quotePath": "false",
    # Objects and refs are on the disk before git says that they are (2.36 and newer; older ones sync packs).
    "core.fsync": "objects,derived-metadata,reference",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "fetch.recurseSubmodules": "no",
    "fetch.writeCommitGraph": "false",
    # Keep what arrives as a synced pack instead of exploding it into loose objects.
    "fetch.unpackLimit": "1",
    "fastimport.unpackLimit": "0",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "credential.interactive": "false",
    # Contents are compressed already.
    "core.compression": "0",
    "pack.compression": "0",
}


def hardened(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a git child: foreign GIT_* scrubbed, no prompt, no hook, no transport but https, ssh and file."""
    env = {name: value for name, value in environ.items() if name not in _DROPPED and (not name.startswith("GIT_") or name in KEPT)}
    env.update(
        GIT_ALLOW_PROTOCOL="https:ssh:file",
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="",  # set and empty: git asks no helper program at all, its configured one included
        SSH_ASKPASS="",
        SSH_ASKPASS_REQUIRE="never",
        GCM_INTERACTIVE="never",
        GIT_OPTIONAL_LOCKS="0",
        GIT_NO_REPLACE_OBJECTS="1",
        GIT_DEFAULT_REF_FORMAT="files",
        GIT_ALLOC_LIMIT="512m",  # sixteen kilobytes of a pack can say that they are gigabytes; nothing of ours is as large
        LC_ALL="C",
        LANGUAGE="C",
    )
    configure(env, {})
    return env


def configure(env: dict[str, str], more: Mapping[str, str]) -> None:
    """Settings for this git alone, after the user's own: ours, and `more`."""
    settings = {**_CONFIG, **more}
    env["GIT_CONFIG_COUNT"] = str(len(settings))
    for index, (key, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value


_spawning = threading.Lock()


@contextmanager
def foreign_hidden(child: Mapping[str, str]) -> Iterator[None]:
    """Take git's variables out of this process for as long as a child is being started.

    GitPython starts children from this process's environment plus ours, and has no way to leave one out: an inherited
    GIT_DIR would send every command to somebody else's repository.
    """
    with _spawning:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_") and name not in child}
        try:
            yield
        finally:
            os.environ.update(hidden)
