"""The command line: the same use cases as the server, for people and scripts."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Progress, Task

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_ATTENTION, EXIT_CANCELLED = 0, 1, 2, 3, 130


class _Parser(argparse.ArgumentParser):
    """One line on stderr, exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"❌ {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line. Common options are understood before and after the command."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print the result as one JSON object; progress goes to stderr")
    common.add_argument("--quiet", action="store_true", help="print nothing but errors")
    common.add_argument("-v", "--verbose", action="store_true", help="say more")
    common.add_argument("--data-root", metavar="DIR", help="opencode's data folder (default: $XDG_DATA_HOME/opencode)")
    common.add_argument("--config-root", metavar="DIR", help="opencode's configuration folder")
    common.add_argument("--state-root", metavar="DIR", help="opencode's state folder; ours is below it")
    common.add_argument("--db", metavar="FILE", help="another database than <data root>/opencode.db")
    top = _Parser(prog="opencode-sidecar", description="Sync opencode sessions between machines through any git remote.", parents=[common])
    top.add_argument("--version", action="store_true", default=argparse.SUPPRESS, help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    init = commands.add_parser("init", parents=[common], help="make a new vault")
    init.add_argument("remote", nargs="?", metavar="REMOTE", help="an empty git repository; without it, one inside the state folder")
    init.add_argument("--github", metavar="NAME", help="create a private repository on GitHub")
    init.add_argument("--encryption", metavar="KIND", help="none (the only kind in this version)")
    init.add_argument("--move-to", metavar="URL", help="keep the vault, change its remote")
    link = commands.add_parser("link", parents=[common], help="join the vault of another machine")
    link.add_argument("remote", metavar="REMOTE")
    link.add_argument("--key", help="recovery key of an encrypted vault")
    link.add_argument("--key-file", metavar="F", help="file that holds the recovery key")
    link.add_argument("--new-device", action="store_true", help="give up this device's identity and start again under a new one")
    for command in (init, link):
        command.add_argument("--device-name", metavar="NAME", help="how other machines show this one (default: host name)")
        command.add_argument("--acknowledge-private", action="store_true", help="strangers cannot read the remote; I have checked")
    for name, text in (
        ("sync", "one full cycle: record, publish, fetch, merge, apply"),
        ("pull", "record, fetch, merge, apply"),
        ("push", "record and publish"),
        ("preview", "show what sync would do; change nothing"),
    ):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--allow-deletions", action="store_true", help="publish deletions that the guard held back")
    commands.add_parser("status", parents=[common], help="devices, counts, and what waits for you")
    commands.add_parser("verify", parents=[common], help="compare the whole database with what was recorded")
    commands.add_parser("serve", help="the JSON-RPC server that hosts start (serve --stdio)")
    return top


@dataclass(frozen=True)
class _Output:
    json: bool
    quiet: bool

    def result(self, value: Any, text: Callable[[Any], list[str]]) -> None:
        if self.json:
            from protocol.naming import to_wire

            print(json.dumps(to_wire(value), ensure_ascii=False))
        elif not self.quiet:
            for line in text(value):
                print(line)

    def error(self, error: SidecarError) -> None:
        if self.json:
            from protocol.errors import code_of

            body = {"code": code_of(error.kind), "kind": error.kind, "message": error.message}
            print(json.dumps({"error": body | {"detail": error.detail, "remedy": error.remedy, "retryable": error.retryable}}, ensure_ascii=False))
        where = f" ({error.detail})" if error.detail else ""
        print(" ".join(f"❌ {error.message}{where} → {error.remedy}".split()), file=sys.stderr)


def main(argv: list[str]) -> int:
    """Run one command; returns the exit status."""
    _surrogates_survive()
    args = parser().parse_args(argv)
    if getattr(args, "version", False):
        from protocol import VERSION

        print(f"opencode-sidecar {VERSION}")
        return EXIT_DONE
    if args.command is None:
        parser().print_help()
        return EXIT_USAGE
    output = _Output(getattr(args, "json", False), getattr(args, "quiet", False))
    try:
        with _progress(output) as task, _interruptible(task):
            return _command(args, output, task)
    except SidecarError as error:
        if error.kind == "cancelled":
            print("Cancelled; nothing was left half-done.", file=sys.stderr)
            return EXIT_CANCELLED
        output.error(error)
        return EXIT_FAILED
    except BrokenPipeError:
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        output.error(_internal(error, args))
        return EXIT_FAILED


def _internal(error: Exception, args: argparse.Namespace) -> SidecarError:
    from sidecar.logs import record_incident

    incident = record_incident(error, _settings(args).own_state)
    return SidecarError(
        "internal",
        f"Something unexpected happened: {type(error).__name__}.",
        detail=incident,
        remedy="Nothing was half-applied. Please report it with this file.",
    )


def _surrogates_survive() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _settings(args: argparse.Namespace) -> Any:
    from sidecar.settings import Settings

    return Settings.from_environ(
        data_root=getattr(args, "data_root", None),
        config_root=getattr(args, "config_root", None),
        state_root=getattr(args, "state_root", None),
        db=getattr(args, "db", None),
    )


def _command(args: argparse.Namespace, output: _Output, task: Task) -> int:
    from protocol import sync as p
    from sidecar import cli_text as text
    from sidecar.app import Sidecar

    sidecar = Sidecar(_settings(args))
    if args.command == "init":
        made = sidecar.init(p.InitParams(args.remote, args.github, args.encryption, args.device_name, args.move_to, args.acknowledge_private), task)
        output.result(made, text.init)
        return EXIT_DONE
    if args.command == "link":
        key = Path(args.key_file).read_text(encoding="utf-8").strip() if args.key_file else args.key
        linked = sidecar.link(p.LinkParams(args.remote, key, args.device_name, args.acknowledge_private, args.new_device), task)
        output.result(linked, text.link)
        return EXIT_DONE
    if args.command in ("sync", "pull", "push"):
        run = {"sync": sidecar.run, "pull": sidecar.pull, "push": sidecar.push}[args.command]
        cycle = run(p.CycleParams(args.allow_deletions), task)
        output.result(cycle, text.cycle)
        return EXIT_ATTENTION if cycle.held or cycle.quarantined or cycle.guarded else EXIT_DONE
    if args.command == "preview":
        output.result(sidecar.preview(p.CycleParams(args.allow_deletions), task), text.preview)
        return EXIT_DONE
    if args.command == "status":
        output.result(sidecar.status(p.StatusParams(), task), text.status)
        return EXIT_DONE
    verified = sidecar.verify(p.VerifyParams(), task)
    output.result(verified, text.verify)
    return EXIT_DONE if verified.ok else EXIT_FAILED


@contextmanager
def _interruptible(task: Task) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the operation to stop at its next safe point; asking twice is as safe."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, lambda *_: task.cancel()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(output: _Output) -> Iterator[Task]:
    """Bars on a terminal; nothing elsewhere."""
    if output.quiet or not sys.stderr.isatty():
        yield Task()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[size]}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        shown: dict[str, Any] = {}

        def on_progress(progress: Progress) -> None:
            if progress.phase not in shown:
                shown[progress.phase] = bars.add_task(progress.phase, total=None, size="")
            size = f"{progress.bytes_done / 1e6:.1f} MB" if progress.bytes_done else ""
            bars.update(shown[progress.phase], completed=progress.done, total=progress.total, size=size)

        yield Task(on_progress)
