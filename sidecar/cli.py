"""The command line: the same use cases as the server, for people and scripts."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar import cli_config, cli_keys, cli_link, cli_secrets, cli_trust
from sidecar.cli_args import UsageError, parse
from sidecar.cli_ask import CONTROL
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar
    from sidecar.settings import Settings

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_ATTENTION, EXIT_CANCELLED = 0, 1, 2, 3, 130


@dataclass(frozen=True, slots=True)
class _Output:
    """stdout carries the result, stderr one line when something is wrong."""

    json: bool
    quiet: bool

    def result(self, value: Any, text: Callable[[Any], list[str]]) -> None:
        if self.json:
            from protocol.naming import to_wire

            self._object(to_wire(value))
        elif not self.quiet:
            for line in text(value):
                print(line.translate(CONTROL))
        sys.stdout.flush()

    def error(self, error: SidecarError) -> None:
        if self.json:
            from protocol.errors import code_of

            names = ("kind", "message", "detail", "remedy", "retryable")
            self._object({"error": {"code": code_of(error.kind)} | {name: getattr(error, name) for name in names}})
            sys.stdout.flush()
        where = f" ({error.detail})" if error.detail else ""
        remedy = f" → {error.remedy}" if error.remedy else ""
        sign = "⏹" if error.kind == "cancelled" else "❌"
        print(" ".join(f"{sign} {error.message}{where}{remedy}".split()).translate(CONTROL), file=sys.stderr)

    @staticmethod
    def _object(value: Any) -> None:
        # What an encoding lacks is replaced by Python's escapes, which are not JSON's for characters beyond U+FFFF.
        print(json.dumps(value, ensure_ascii=sys.stdout.encoding.lower() not in ("utf-8", "utf8")))


def main(argv: list[str]) -> int:
    """Run one command; returns the exit status. Signals of the process are ours from here to its end."""
    cancelled = threading.Event()
    signals = _listen(cancelled)
    try:
        return _main(argv, cancelled)
    finally:
        for number in signals:  # it is done: the interpreter, while it ends, would die of them instead
            signal.signal(number, signal.SIG_IGN)


def _main(argv: list[str], cancelled: threading.Event) -> int:
    _make_streams_safe()
    args = argparse.Namespace()
    output = _Output("--json" in argv, quiet=False)
    try:
        args = parse(argv)
        output = _Output(getattr(args, "json", False), getattr(args, "quiet", False))
        return _run(args, output, cancelled)
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except UsageError as error:
        output.error(SidecarError("invalidParams", str(error), remedy="See `opencode-sidecar --help`."))
        return EXIT_USAGE
    except SidecarError as error:
        output.error(error)
        return EXIT_CANCELLED if error.kind == "cancelled" else EXIT_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left; the interpreter flushes once more at its end
        return EXIT_FAILED
    except (OSError, MemoryError) as error:
        from sidecar.domain.system import refused

        output.error(refused(error, str(_settings(args).own_state)))
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        output.error(_internal(error, args))
        return EXIT_FAILED


def _listen(cancelled: threading.Event) -> list[int]:
    """Ctrl-C and SIGTERM ask the operation to stop at its next safe point; asking again is as safe. What a parent ignores stays so."""
    if threading.current_thread() is not threading.main_thread():
        return []
    known = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"))
    ours = [number for number in known if number is not None and signal.getsignal(number) is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, lambda *_: cancelled.set())
    return ours


def _make_streams_safe() -> None:
    """Any name can be printed on any terminal, whatever its encoding."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _internal(error: Exception, args: argparse.Namespace) -> SidecarError:
    from sidecar.logs import record_incident

    return SidecarError(
        "internal",
        f"Something unexpected happened: {type(error).__name__}.",
        detail=record_incident(error, _settings(args).own_state),
        remedy="Nothing was half-applied. Please report it with this file.",
    )


def _settings(args: argparse.Namespace) -> Settings:
    from sidecar.settings import Settings

    names = ("data_root", "config_root", "state_root", "db")
    return Settings.from_environ(**{name: getattr(args, name, None) for name in names})


def _run(args: argparse.Namespace, output: _Output, cancelled: threading.Event) -> int:
    if args.version:
        from protocol import VERSION

        print(f"opencode-sidecar {VERSION}")
        return EXIT_DONE
    if args.command == "demo":
        from sidecar.demo.tour import run

        return run(keep=args.keep, cancelled=cancelled)
    from sidecar import cli_text
    from sidecar.app import Sidecar
    from sidecar.cli_progress import progress

    sidecar = Sidecar(_settings(args))
    with progress(cancelled, quiet=output.quiet, verbose=getattr(args, "verbose", False)) as task:
        status, result = _COMMANDS[args.command](sidecar, args, task)
    output.result(result, cli_text.TEXTS[args.command])
    if sidecar.upkeep_due:  # the result is out: nobody waits for this
        sidecar.upkeep(Task(None, cancelled))
    return status


# --- commands: exit status and result ------------------------------------------------------------------------------
def _init(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    from protocol.sync import InitParams

    params = InitParams(
        remote=args.remote,
        github=args.github,
        encryption=args.encryption,
        passphrase=cli_keys.read_secret(args.passphrase_file, "passphrase"),
        key_store=args.key_store,
        device_name=args.device_name,
        move_to=args.move_to,
        move_to_github=args.move_to_github,
        adopt=args.adopt,
        acknowledge_private=args.acknowledge_private,
    )
    return EXIT_DONE, sidecar.init(params, task)


def _sync(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    from protocol.sync import CycleParams

    run = {"sync": sidecar.run, "pull": sidecar.pull, "push": sidecar.push}[args.command]
    result = run(CycleParams(allow_deletions=args.allow_deletions, deletions=args.deletions), task)
    # Sessions of a project that is not on this machine, and those continued on two machines, wait for nobody's decision.
    waits = result.held or result.quarantined or result.guarded or result.secrets or result.config.get("conflicts") or result.config.get("failed")
    return EXIT_ATTENTION if waits else EXIT_DONE, result


def _preview(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    from protocol.sync import CycleParams

    return EXIT_DONE, sidecar.preview(CycleParams(allow_deletions=args.allow_deletions, deletions=args.deletions), task)


def _status(sidecar: Sidecar, _args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    from protocol.sync import StatusParams

    return EXIT_DONE, sidecar.status(StatusParams(), task)


def _verify(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    from protocol.sync import VerifyParams

    result = sidecar.verify(VerifyParams(offline=args.offline), task)
    return EXIT_DONE if result.ok else EXIT_FAILED, result


_COMMANDS: dict[str, Callable[[Sidecar, argparse.Namespace, Task], tuple[int, Any]]] = {
    "init": _init,
    "link": cli_link.link,
    "sync": _sync,
    "pull": _sync,
    "push": _sync,
    "preview": _preview,
    "status": _status,
    "verify": _verify,
    **cli_trust.COMMANDS,
    **cli_keys.COMMANDS,
    **cli_config.COMMANDS,
    **cli_secrets.COMMANDS,
}
