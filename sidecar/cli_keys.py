"""Commands and options about the keys of an encrypted vault."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.keys import ForgetDeviceParams, RotateKeyParams, RotateKeyResult, ShowKeyParams, ShowKeyResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

EXIT_DONE = 0
MAX_KEY_BYTES = 1 << 16


def add_options(command: argparse.ArgumentParser) -> None:
    """Of `init` and `link`."""
    command.add_argument("--passphrase-file", metavar="FILE", help="file with a passphrase by which the key can be had, too")
    command.add_argument("--key-store", metavar="KIND", help="where this device keeps the key: file (only you can read it), or the system's keyring")


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Their part of the grammar."""
    show = commands.add_parser("show-key", parents=[common], help="print the recovery key of this vault")
    show.add_argument("--yes", action="store_true", help="do not ask: nobody looks over my shoulder")
    rotate = commands.add_parser("rotate-key", parents=[common], help="seal with a new key from now on, and hand it to the other devices")
    rotate.add_argument("--passphrase-file", metavar="FILE", help="file with a passphrase for the new key")
    forget = commands.add_parser("forget-device", parents=[common], help="rotate the key without a device, and read nothing more of it")
    forget.add_argument("device", metavar="ID", help="as in `status --json`")
    forget.add_argument("--passphrase-file", metavar="FILE", help="file with a passphrase for the new key")


def read_secret(path: str | None, what: str) -> str | None:
    """The content of a small text file, without the white space around it."""
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_KEY_BYTES).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SidecarError("invalidParams", f"The {what} file cannot be read: {reason}.", detail=path, remedy=f"Name the file that holds the {what}.") from None


def asked_key(error: SidecarError, args: argparse.Namespace) -> str:
    """Ask for the key where somebody can answer; else the error stands."""
    given = args.key is not None or args.key_file is not None or args.passphrase_file is not None
    if error.kind != "wrongKey" or given or getattr(args, "json", False) or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise error
    return getpass.getpass("Recovery key of the vault: ")


def _show(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    confirmed = args.yes
    if not confirmed and sys.stdin.isatty() and sys.stderr.isatty():
        print("Whoever sees the key can read every conversation in the vault. Show it? [y/N] ", end="", file=sys.stderr, flush=True)
        confirmed = sys.stdin.readline().strip().lower() in ("y", "yes")
    return EXIT_DONE, sidecar.show_key(ShowKeyParams(confirmed), task)


def _rotate(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.rotate_key(RotateKeyParams(read_secret(args.passphrase_file, "passphrase")), task)


def _forget(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.forget_device(ForgetDeviceParams(args.device, read_secret(args.passphrase_file, "passphrase")), task)


def _show_text(result: ShowKeyResult) -> list[str]:
    return [result.recovery_key]


def _rotate_text(result: RotateKeyResult) -> list[str]:
    lines = ["🔑 The new recovery key; write it down:", f"   {result.recovery_key}"]
    if result.given_to:
        lines.append(f"   With their next sync these take it over by themselves: {', '.join(result.given_to)}. If one of them is not yours, forget it.")
    if result.left_out:
        lines.append(f"⚠️ {', '.join(result.left_out)}: run `opencode-sidecar link REMOTE --key-file FILE` there, with the new key.")
    if result.passphrase_gone:
        lines.append("⚠️ The passphrase does not open the vault any more; `rotate-key --passphrase-file FILE` gives it one.")
    return lines


COMMANDS: dict[str, Callable[[Sidecar, argparse.Namespace, Task], tuple[int, Any]]] = {"show-key": _show, "rotate-key": _rotate, "forget-device": _forget}
TEXTS: dict[str, Callable[[Any], list[str]]] = {"show-key": _show_text, "rotate-key": _rotate_text, "forget-device": _rotate_text}
