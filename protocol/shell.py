"""Params and results of the `shell/*` methods: commands for hosts that have no shell of their own.

No shell is involved: `argv` goes to the system as it is. Bytes travel as base64.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class ExecParams:
    """`cwd`: an existing folder, the sidecar's own by default. `env`: the whole environment, the sidecar's own by default.

    `stdin`: base64. `timeout_ms`: after which the command and what it started is killed. `max_output_bytes`: per stream; what
    comes after is counted and dropped.
    """

    argv: list[str]
    cwd: str | None = None
    env: dict[str, str] | None = None
    stdin: str | None = None
    timeout_ms: int | None = None
    max_output_bytes: int = 16 << 20


@frozen
class Output:
    """`data`: base64. `cut_bytes`: how much was dropped after it."""

    data: str
    cut_bytes: int


@frozen
class ExecResult:
    """`exit_code`: null when a signal ended it; `signal`: its name, such as SIGKILL."""

    exit_code: int | None
    signal: str | None
    stdout: Output
    stderr: Output
    timed_out: bool
    duration_ms: int


@frozen
class StartParams:
    """`process_id`: chosen by the caller, unique while it runs. `stdin`: whether `shell/write` will be used; else it is empty.

    `window_bytes`: how much output may be on its way before the caller acknowledges it with `shell/ack`.
    """

    process_id: str
    argv: list[str]
    cwd: str | None = None
    env: dict[str, str] | None = None
    stdin: bool = False
    window_bytes: int = 1 << 20


@frozen
class StartResult:
    """`pid`: the system's own number."""

    pid: int


@frozen
class WriteParams:
    """`data`: base64. Answered when the command took it, so that a slow reader slows the writer."""

    process_id: str
    data: str


@frozen
class ProcessParams:
    process_id: str


@frozen
class KillParams:
    """`signal`: what to send to the command and everything it started; SIGKILL follows after `grace_ms`."""

    process_id: str
    signal: str = "SIGTERM"
    grace_ms: int = 2000


@frozen
class AckParams:
    """The caller has dealt with so many bytes of output."""

    process_id: str
    bytes: int


@frozen
class DidOutput:
    """`stream`: stdout or stderr; `data`: base64. In order for each stream."""

    process_id: str
    stream: str
    data: str


@frozen
class DidExit:
    """After the last output."""

    process_id: str
    exit_code: int | None
    signal: str | None


@frozen
class WhichParams:
    """`env`: whose PATH to look at; the sidecar's own by default."""

    name: str
    cwd: str | None = None
    env: dict[str, str] | None = None


@frozen
class WhichResult:
    """Absolute path, or null."""

    path: str | None


@frozen
class EnvResult:
    env: dict[str, str]
