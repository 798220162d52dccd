"""Use cases about secrets in transcripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from protocol.secrets import AllowSecretParams, SecretPolicyParams, SecretsParams, SecretsResult
from sidecar.app_part import Part
from sidecar.domain.errors import SidecarError
from sidecar.domain.secrets import POLICIES, Decisions, Span
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.services.workspace import SecretTools

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class SecretUseCases(Part):
    """Part of `Sidecar`, which gives it the rest."""

    def secrets(self, params: SecretsParams, task: Task) -> SecretsResult:
        """What was found, and what was decided. Never waits for a cycle."""
        from sidecar.services.findings import everything, listed

        with self._ours(), self._workspace(remote=False, alone=False) as ws:
            return everything(ws, task) if params.everything else listed(ws)

    def allow_secret(self, params: AllowSecretParams, task: Task) -> SecretsResult:
        """What is allowed is published by the next cycle."""
        chosen = [(name, value) for name in ("fingerprint", "rule", "session") if (value := getattr(params, name)) is not None]
        if len(chosen) != 1:
            raise SidecarError("invalidParams", "Exactly one of fingerprint, rule and session is to be given.", remedy="`opencode-sidecar secrets` lists them.")
        name, value = chosen[0]
        if (_FINGERPRINT if name == "fingerprint" else _NAME).fullmatch(value) is None:
            raise SidecarError("invalidParams", f"This is no {name}.", remedy="`opencode-sidecar secrets` lists them.")
        return self._decide(task, lambda decisions: _change(getattr(decisions, f"{name}s"), value, remove=params.remove))

    def set_secret_policy(self, params: SecretPolicyParams, task: Task) -> SecretsResult:
        """What happens to records with secrets from the next cycle on, and to those that are held."""
        if params.policy not in (None, *POLICIES):
            raise SidecarError("invalidParams", "There is no such policy.", detail=str(params.policy)[:40], remedy=f"Choose one of {', '.join(POLICIES)}.")
        return self._decide(task, lambda decisions: setattr(decisions, "policy", params.policy))

    def _decide(self, task: Task, change: Callable[[Decisions], object]) -> SecretsResult:
        from sidecar.services.findings import listed
        from sidecar.services.secrets import release

        with self._exclusive(task), self._ours(), self._workspace(remote=False) as ws:
            decisions = ws.tools.secrets.load(True)
            change(decisions)
            ws.tools.secrets.save(decisions)
            with ws.shadow.writing():
                release(ws, decisions)
            return listed(ws)

    def _secret_tools(self) -> SecretTools:
        """The rules take milliseconds to load: nothing of them is, until there is something to look at."""
        from sidecar.services.workspace import SecretTools

        path = self.settings.own_state / "secrets.json"

        def look(text: str, check: Callable[[], None]) -> bool:
            from sidecar.adapters import secrets

            return secrets.look(text, check)

        def find(text: str) -> list[Span]:
            from sidecar.adapters import secrets

            return secrets.find(text)

        def load(keep: bool) -> Decisions:
            from sidecar.adapters.secrets import decisions

            return decisions.load(path, keep=keep)

        def save(chosen: Decisions) -> None:
            from sidecar.adapters.secrets import decisions

            decisions.save(path, chosen)

        return SecretTools(look, find, load, save)


def _change(values: set[str], value: str, *, remove: bool) -> None:
    if remove:
        values.discard(value)
    else:
        values.add(value)
