"""Commands about opencode's configuration."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from protocol.common import NoParams
from protocol.config import ConfigResult, ConfigSetParams, EnableSecretsParams, ResolveParams, ResolveResult
from protocol.sync import FileChange
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

EXIT_DONE, EXIT_ATTENTION = 0, 3


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Their part of the grammar."""
    config = commands.add_parser("config", parents=[common], help="show or change our settings")
    config.add_argument("name", nargs="?", metavar="NAME", help="one setting, e.g. includeConfig")
    config.add_argument("value", nargs="?", metavar="VALUE", help="true, false, a JSON list, or null for the default")
    secrets = commands.add_parser("enable-secrets", parents=[common], help="opencode's credentials travel, too, where strangers cannot read them")
    secrets.add_argument("--acknowledge-private", action="store_true", help="strangers cannot read the remote; I have checked")
    resolve = commands.add_parser("resolve", parents=[common], help="list or settle settings that were changed here and elsewhere")
    resolve.add_argument("path", nargs="?", metavar="CONFLICT", help="as the list shows it, or a file for all of its conflicts")
    resolve.add_argument("choice", nargs="?", choices=("mine", "theirs", "both", "text"), help="which one to keep")
    resolve.add_argument("--text", metavar="TEXT", help="with `text`: what it shall be; JSON for a setting")


def config(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    if args.value is None:
        result = sidecar.config_get(NoParams(), task)
        known = {**result.settings, **result.lists}
        if args.name is not None and args.name not in known:
            raise SidecarError("invalidParams", f"There is no setting {args.name}.", remedy=f"There are: {', '.join(known)}.")
        return EXIT_DONE, result
    try:
        value = json.loads(args.value)
    except ValueError:
        raise SidecarError("invalidParams", "The value must be true, false, null or a JSON list.", detail=args.value[:80], remedy="Quote lists.") from None
    return EXIT_DONE, sidecar.config_set(ConfigSetParams({args.name: value}), task)


def enable_secrets(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    return EXIT_DONE, sidecar.enable_secrets(EnableSecretsParams(args.acknowledge_private), task)


def resolve(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    if args.path is not None and args.choice is None:
        raise SidecarError("invalidParams", "Which one: mine, theirs, both or text?", remedy="`opencode-sidecar resolve CONFLICT mine`, for example.")
    result = sidecar.resolve(ResolveParams(args.path, args.choice, args.text), task)
    return EXIT_ATTENTION if result.conflicts else EXIT_DONE, result


def config_text(result: ConfigResult) -> list[str]:
    lines = [f"Settings in {result.path}" + ("" if result.source == result.path else f" (not there yet; taken from {result.source})")]
    lines += [f"   {name} {json.dumps(value)}" for name, value in {**result.settings, **result.lists}.items()]
    if result.settings.get("includeConfig"):
        lines.append("   `opencode-sidecar preview` shows what the next sync would change here.")
    return lines + [f"⚠️ {problem}" for problem in result.problems]


def resolve_text(result: ResolveResult) -> list[str]:
    lines = [f"✅ {name}: settled; the next sync takes it along" for name in result.settled]
    for conflict in result.conflicts:
        lines.append(f"⚠️ {conflict.id}")
        for side, value in (("mine", conflict.mine), ("theirs", conflict.theirs)):
            if value != "":
                lines.append(f"   {side}: {value if value is not None else '(removed)'}")
    return lines or ["✅ No conflicts."]


def cycle_lines(counts: Mapping[str, int]) -> list[str]:
    """The configuration's part of a cycle, when there was any."""
    if counts.get("in") or counts.get("out"):
        return [f"⚙️ Configuration: {counts['in']} files in, {counts['out']} out."]
    return []


def preview_lines(files: Sequence[FileChange]) -> list[str]:
    signs = {"in": "📥", "out": "📤", "both": "🔄", "deleteIn": "🗑 here", "deleteOut": "🗑 there", "conflict": "⚠️ conflict"}
    lines = []
    for file in files:
        lines.append(f"{signs.get(file.change, file.change)} {file.path}{'  ⚠️ opencode could run it' if file.executable else ''}")
        lines += [f"   {line}" for line in file.diff.splitlines()[:40]]
    return lines


COMMANDS: dict[str, Callable[[Sidecar, argparse.Namespace, Task], tuple[int, Any]]] = {
    "config": config,
    "enable-secrets": enable_secrets,
    "resolve": resolve,
}
TEXTS: dict[str, Callable[[Any], list[str]]] = {"config": config_text, "enable-secrets": config_text, "resolve": resolve_text}
