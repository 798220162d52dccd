"""`link` for people: which repository on GitHub, and a look at what would happen before it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from attrs import evolve

from protocol.sync import FindVaultsParams, FoundVault, LinkParams, LinkResult, PreviewResult
from sidecar import cli_config, cli_keys
from sidecar.cli_ask import ask, paused, say, somebody_there, yes
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

EXIT_DONE = 0
_SESSIONS_SHOWN, _LINES_SHOWN = 20, 200
_PLAIN = "Not encrypted: whoever can read or write there reads your conversations. Was this vault made with a key? Then somebody replaced it: do not sync."


def add_command(commands: Any, common: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Its part of the grammar."""
    link: argparse.ArgumentParser = commands.add_parser("link", parents=[common], help="join the vault of another machine")
    link.add_argument("remote", nargs="?", metavar="REMOTE", help="the address that the other machine uses")
    link.add_argument("--github", nargs="?", const="", metavar="NAME", help="a repository of yours on GitHub; without NAME, it is looked for")
    key = link.add_mutually_exclusive_group()
    key.add_argument("--key", metavar="KEY", help="recovery key of an encrypted vault")
    key.add_argument("--key-file", metavar="FILE", help="file that holds the recovery key")
    which = link.add_mutually_exclusive_group()
    which.add_argument("--new-device", action="store_true", help="this is a copy: give up its identity and start again under a new one")
    which.add_argument("--same-device", action="store_true", help="this is the original, restored from a backup: go on with its log")
    link.add_argument("--dry-run", action="store_true", help="show what would happen; stay unlinked")
    link.add_argument("--yes", action="store_true", help="do not ask")
    return link


def link(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    params = LinkParams(
        remote=args.remote,
        github=_chosen(sidecar, args, task) if args.github == "" else args.github,
        key=args.key if args.key_file is None else cli_keys.read_secret(args.key_file, "recovery key"),
        passphrase=cli_keys.read_secret(args.passphrase_file, "passphrase"),
        key_store=args.key_store,
        device_name=args.device_name,
        acknowledge_private=args.acknowledge_private,
        new_device=args.new_device,
        same_device=args.same_device,
        dry_run=args.dry_run,
    )
    asks = somebody_there(args) and not args.yes and not args.dry_run
    seen: list[LinkResult] = []

    def agrees(result: LinkResult) -> bool:
        seen.append(result)
        return _agrees(result, task)

    try:
        result = sidecar.link(params, task, agrees if asks else None)
    except SidecarError as error:
        with paused():
            key = cli_keys.asked_key(error, args)
        result = sidecar.link(evolve(params, key=key), task, agrees if asks else None)
    # What was shown with the question is not shown again.
    return EXIT_DONE, evolve(result, preview=evolve(result.preview, files=[], warnings=[])) if seen and _touches(result.preview) else result


# --- what the first sync would do ----------------------------------------------------------------------------------
def _agrees(result: LinkResult, task: Task) -> bool:
    """Ask when something that is here would change, opencode would be able to run something new, or everything goes out readable."""
    plan = result.preview
    if not result.encrypted:
        with paused():
            say(f"⚠️ {_PLAIN}")
            if not yes("Link? [y/N] ", task):
                return False
    if not _touches(plan):
        return True
    with paused():
        for line in ["What the first sync would do here:", *preview_lines(plan)]:
            say(line)
        say("Each file is kept first, as `history` lists it and `restore` brings it back.")
        return yes("Link, and let it? [y/N] ", task)


def _touches(plan: PreviewResult) -> bool:
    return any(change.change in ("both", "deleteIn") for change in plan.sessions) or any(
        file.executable or file.change in ("in", "both", "deleteIn", "conflict") for file in plan.files
    )


def preview_lines(plan: PreviewResult) -> list[str]:
    """A plan in short: sessions, files with what changes in them, conflicts."""
    lines = [f"   {_count(plan.applied.sessions)} in, {plan.published.sessions} out"]
    both = [change for change in plan.sessions if change.change in ("both", "deleteIn")]
    lines += [f"   🔄 {change.title or change.id}" for change in both[:_SESSIONS_SHOWN]]
    lines += [f"   and {len(both) - _SESSIONS_SHOWN} more that are on both sides"] if len(both) > _SESSIONS_SHOWN else []
    files = sorted(plan.files, key=lambda file: (not file.executable, file.change != "conflict"))
    lines += [f"   {line}" for line in cli_config.preview_lines(files)]
    if len(lines) > _LINES_SHOWN:
        lines[_LINES_SHOWN:] = [f"   … {len(lines) - _LINES_SHOWN} more lines; `--dry-run --json` shows all"]
    if any(file.change == "conflict" for file in plan.files):
        lines.append("   A conflict changes nothing: yours stays here, theirs stays there, until `opencode-sidecar resolve` settles it.")
    return lines + [f"   ⚠️ {warning}" for warning in plan.warnings]


def link_text(result: LinkResult) -> list[str]:
    others = [device.name for device in result.devices if not device.this_device]
    where = f"vault {result.vault_id[:8]} at {result.remote} (with {', '.join(others) or 'no other device yet'})"
    lines = [f"🔗 Linked to {where}" if result.linked else f"🔗 Not linked yet: {where}", "   The first sync would do this:", *preview_lines(result.preview)]
    if not result.encrypted:
        lines.insert(1, f"   ⚠️ {_PLAIN}")
    if any(file.change in ("in", "both", "deleteIn") for file in result.preview.files):
        lines.append("   Each file is kept before it is changed: `opencode-sidecar history` lists it, `restore CYCLE` brings it back.")
    return lines


def _count(sessions: int) -> str:
    return "1 session" if sessions == 1 else f"{sessions} sessions"


# --- which one on GitHub ---------------------------------------------------------------------------------------------
def _chosen(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> str:
    """The name of the vault that is meant. Raises remoteNotVault, invalidParams."""
    found = sidecar.find_vaults(FindVaultsParams(), task).found
    vaults = [one for one in found if one.vault]
    if not vaults:
        others = ", ".join(one.name for one in found)
        raise SidecarError(
            "remoteNotVault",
            "None of your repositories on GitHub with a usual name holds a vault.",
            detail=f"found: {others}" if others else "none found",
            remedy="`link --github OWNER/NAME` names another; `init --github` makes one; `init --github NAME --adopt` takes over one of opencode-synced.",
        )
    if len(vaults) == 1 and args.yes:
        return vaults[0].name
    if not somebody_there(args):
        raise SidecarError(
            "invalidParams",
            "Which of these?" if len(vaults) > 1 else "Found one; say that it is the right one.",
            detail=", ".join(one.name for one in vaults),
            remedy=f"`opencode-sidecar link --github {vaults[0].name}`, for example.",
        )
    return _picked(vaults, task)


def _picked(vaults: list[FoundVault], task: Task) -> str:
    with paused():
        for number, one in enumerate(vaults, 1):
            say(f"{number}. {one.name} ({one.visibility})")
        if len(vaults) == 1:
            if yes("Join this one? [y/N] ", task):
                return vaults[0].name
        else:
            answer = ask(f"Which one? [1-{len(vaults)}] ", task)
            if answer.isascii() and answer.isdigit() and 0 < int(answer) <= len(vaults):
                return vaults[int(answer) - 1].name
    raise SidecarError("cancelled", "Not linked: nothing was changed here.", remedy="`link --github OWNER/NAME` names another.")
