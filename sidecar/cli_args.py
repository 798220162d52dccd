"""The grammar of the command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from sidecar import cli_config, cli_keys, cli_link, cli_secrets, cli_trust


class UsageError(Exception):
    """The command line cannot be understood; the text says why."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing, so that `--json` gets an object for usage errors too. Abbreviations would break later."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}.")


def _common() -> _Parser:
    """Options understood before and after the command."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print the result as one JSON object; progress goes to stderr")
    loudness = common.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors")
    loudness.add_argument("-v", "--verbose", action="store_true", help="report progress where there is no terminal, too")
    common.add_argument("--data-root", metavar="DIR", help="opencode's data folder (default: $XDG_DATA_HOME/opencode)")
    common.add_argument("--config-root", metavar="DIR", help="opencode's configuration folder (default: $XDG_CONFIG_HOME/opencode)")
    common.add_argument("--state-root", metavar="DIR", help="opencode's state folder; ours is below it (default: $XDG_STATE_HOME/opencode)")
    common.add_argument("--db", metavar="FILE", help="another database than <data root>/opencode.db")
    return common


def _setup_commands(commands: Any, common: _Parser) -> None:
    init = commands.add_parser("init", parents=[common], help="make a new vault")
    init.add_argument("remote", nargs="?", metavar="REMOTE", help="an empty git repository; without it, one inside the state folder")
    init.add_argument("--github", nargs="?", const="", metavar="NAME", help="make a private repository on GitHub with your gh: NAME or OWNER/NAME")
    init.add_argument("--encryption", metavar="KIND", help="aes-256-gcm (the default), or none")
    init.add_argument("--move-to", metavar="URL", help="keep the vault, change its remote")
    init.add_argument("--move-to-github", nargs="?", const="", metavar="NAME", help="keep the vault, take it to a private repository on GitHub")
    init.add_argument("--adopt", action="store_true", help="the remote is one of opencode-synced: take it over, with all that is in it")
    link = cli_link.add_command(commands, common)
    for command in (init, link):
        cli_keys.add_options(command)
        command.add_argument("--device-name", metavar="NAME", help="how other machines show this one (default: host name)")
        command.add_argument("--acknowledge-private", action="store_true", help="strangers cannot read the remote; I have checked")


def _cycle_commands(commands: Any, common: _Parser) -> None:
    for name, text in (
        ("sync", "one full cycle: record, publish, fetch, merge, apply"),
        ("pull", "record, fetch, merge, apply"),
        ("push", "record and publish"),
        ("preview", "show what sync would do; change nothing"),
    ):
        command = commands.add_parser(name, parents=[common], help=text)
        answer = command.add_mutually_exclusive_group()
        answer.add_argument("--deletions", metavar="publish|restore", help="what vanished here and was held back: delete it everywhere, or bring it back")
        answer.add_argument("--allow-deletions", action="store_true", help="the same as `--deletions publish`")
    commands.add_parser("status", parents=[common], help="devices, counts, and what waits for you")
    verify = commands.add_parser("verify", parents=[common], help="compare database, shadow, all logs and the remote")
    verify.add_argument("--offline", action="store_true", help="do not talk to the remote")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = _common()
    top = _Parser(prog="opencode-sidecar", description="Sync opencode sessions between machines through any git remote.", parents=[common])
    top.add_argument("--version", action="store_true", default=False, help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _setup_commands(commands, common)
    _cycle_commands(commands, common)
    cli_trust.add_commands(commands, common)
    cli_keys.add_commands(commands, common)
    cli_config.add_commands(commands, common)
    cli_secrets.add_commands(commands, common)
    demo = commands.add_parser("demo", parents=[common], help="show it all on two made-up machines in a temporary folder")
    demo.add_argument("--keep", action="store_true", help="leave the folder there to look at")
    commands.add_parser("serve", help="the JSON-RPC server that hosts start: `serve --stdio`")
    return top


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises UsageError; SystemExit(0) after printing help."""
    args = parser().parse_args(argv)
    if args.version:
        return args
    if args.command is None:
        raise UsageError("Which command?")
    if args.command == "serve":
        raise UsageError("`serve` comes first on the command line: `opencode-sidecar serve --stdio`.")
    if args.command == "init" and sum(place is not None for place in (args.remote, args.github, args.move_to, args.move_to_github)) > 1:
        raise UsageError("REMOTE, --github, --move-to and --move-to-github are places; give one.")
    if args.command == "link" and args.remote is not None and args.github is not None:
        raise UsageError("REMOTE and --github are two places; give one.")
    if args.command == "link" and args.remote is None and args.github is None:
        raise UsageError("The following arguments are required: REMOTE, or --github.")
    return args
