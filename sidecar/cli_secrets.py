"""Commands about secrets in transcripts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protocol.secrets import AllowSecretParams, SecretPolicyParams, SecretsParams, SecretsResult
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

EXIT_DONE = 0


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Their part of the grammar."""
    secrets = commands.add_parser("secrets", parents=[common], help="possible secrets in transcripts, and what is done about them")
    actions = secrets.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("list", parents=[common], help="what was found (the default)")
    show.add_argument("--all", action="store_true", help="look through everything, also what was published before")
    allow = actions.add_parser("allow", parents=[common], help="publish what was found as it is")
    allow.add_argument("fingerprint", nargs="?", metavar="FINGERPRINT", help="as `secrets` shows it")
    allow.add_argument("--rule", metavar="NAME", help="whatever this rule finds")
    allow.add_argument("--session", metavar="ID", help="whatever is found in this session")
    allow.add_argument("--remove", action="store_true", help="do not allow it any more")
    policy = actions.add_parser("policy", parents=[common], help="what happens to records with possible secrets")
    choices = ("warn", "hold", "redact", "default")
    policy.add_argument("policy", choices=choices, help="publish and tell; hold back until allowed; take out of the published copy; as encryption suggests")


def _secrets(sidecar: Sidecar, args: argparse.Namespace, task: Task) -> tuple[int, Any]:
    if args.action == "allow":
        return EXIT_DONE, sidecar.allow_secret(AllowSecretParams(args.fingerprint, args.rule, args.session, args.remove), task)
    if args.action == "policy":
        return EXIT_DONE, sidecar.set_secret_policy(SecretPolicyParams(None if args.policy == "default" else args.policy), task)
    return EXIT_DONE, sidecar.secrets(SecretsParams(getattr(args, "all", False)), task)


def _text(result: SecretsResult) -> list[str]:
    lines = [f"🔎 Policy: {result.policy}{' (the default here)' if result.is_default else ''}"]
    for finding in result.findings:
        lines.append(f"{finding.state:>9}  {finding.rule:<14} {finding.fingerprint}  {finding.title or finding.session_id}")
        lines.append(f"           {finding.session_id} {finding.table} {finding.key} {finding.path}")
    if not result.findings:
        lines.append("✅ Nothing was found.")
    for name in ("fingerprints", "rules", "sessions"):
        allowed = getattr(result, f"allowed_{name}")
        if allowed:
            lines.append(f"Allowed {name}: {', '.join(allowed)}")
    return lines


COMMANDS: dict[str, Callable[[Sidecar, argparse.Namespace, Task], tuple[int, Any]]] = {"secrets": _secrets}
TEXTS: dict[str, Callable[[Any], list[str]]] = {"secrets": _text}
