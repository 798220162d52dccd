"""Questions that a host puts to its user (`window/showMessageRequest`), and what follows from the answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.common import MessageAction, QuestionParams
from protocol.sync import CycleParams, CycleResult, LinkParams, LinkResult, PreviewResult, StatusParams, StatusResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

WARNING = 2
GUARD, IDENTITY = "deletionGuard", "identityCloned"
RESTORE, PUBLISH = "Bring them back", "Delete on all machines"
SAME, COPY = "This is the original, restored from a backup", "This is a copy: give it its own identity"
LATER = "Later"
_CLONED = (
    "Another machine publishes under this device's identity: the state of this one was copied, or restored from a backup. "
    "Nothing goes out until it is known which; either answer keeps everything."
)

Call = tuple[str, Any]
"""A method of ours, and its params."""
Ask = Callable[[QuestionParams, Callable[[Any], None]], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`calls`: what is to be done, after another look; at least a cycle. It blocks, and raises SidecarError."""

    kind: str
    calls: Callable[[Task], list[Call]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """`subject`: what exactly was asked about. `request`: its id; answered long ago, or not yet."""

    subject: Any
    request: str


class Questions:
    """Each question once, until it has settled or is about something else. An answer to anything but the latest counts for nothing.

    `ask` sends one, calls back with the host's result, and returns the request's id; `withdraw` takes it back. `carry_out` starts what
    follows from an answer, in the background, and `reopen`s when that fails. Safe from any thread.
    """

    def __init__(self, ask: Ask, withdraw: Callable[[str], None], carry_out: Callable[[Answer], None], sidecar: Callable[[], Sidecar]) -> None:
        self._ask, self._withdraw, self._carry_out, self._sidecar = ask, withdraw, carry_out, sidecar
        self._lock = threading.RLock()
        self._asked: dict[str, _Asked] = {}
        self.possible = False
        """Whether the host said that it can show one."""

    def about(self, method: str, result: Any) -> None:
        """Ask what the result of a method leaves open, and take back what it settles."""
        if not self.possible:
            return
        if isinstance(result, LinkResult) or (isinstance(result, CycleResult) and method != "sync/pull"):  # a pull does not look
            self.reopen(IDENTITY)
        if not isinstance(result, CycleResult):
            return
        if not result.guarded:
            self.reopen(GUARD)
            return
        try:
            subject = _held_back(self._sidecar().status(StatusParams(), Task()))
        except SidecarError:  # the next cycle finds it again
            return
        text = f"{result.guarded} sessions vanished here, or lost something, so many that it may be an accident. Did you delete them?"
        self._put(
            GUARD, subject, text, {RESTORE: lambda _: self._deletions("restore", subject), PUBLISH: lambda task: self._deletions("publish", subject, task)}
        )

    def about_error(self, error: BaseException) -> None:
        """Ask what only a person can know."""
        if self.possible and isinstance(error, SidecarError) and error.kind == IDENTITY:
            self._put(IDENTITY, None, _CLONED, {SAME: lambda task: self._identity(task, same=True), COPY: lambda task: self._identity(task, same=False)})

    def reopen(self, kind: str) -> None:
        """Forget that this was asked: it has settled, or its answer could not be carried out."""
        with self._lock:
            asked = self._asked.pop(kind, None)
        if asked is not None:
            self._withdraw(asked.request)

    def _put(self, kind: str, subject: Any, text: str, answers: dict[str, Callable[[Task], list[Call]]]) -> None:
        def answered(chosen: Any) -> None:
            """Anything but one of the answers leaves it open; `status` still shows it."""
            title = chosen.get("title") if isinstance(chosen, dict) else None
            calls = answers.get(title) if isinstance(title, str) else None
            with self._lock:
                current = self._asked.get(kind)
            if calls is not None and current is not None and current.subject == subject:
                self._carry_out(Answer(kind, calls))

        with self._lock:
            known = self._asked.get(kind)
            if known is not None and known.subject == subject:
                return
            self.reopen(kind)
            self._asked[kind] = _Asked(subject, self._ask(QuestionParams(WARNING, text, [MessageAction(title) for title in (*answers, LATER)], kind), answered))

    # --- what follows -------------------------------------------------------------------------------------------------
    def _deletions(self, answer: str, subject: Any, task: Task | None = None) -> list[Call]:
        """Only about what was asked: of a deletion everywhere, the database is looked at again; to bring back needs no remote."""
        sidecar = self._sidecar()
        found = sidecar.status(StatusParams(), Task()) if task is None else sidecar.preview(CycleParams(), task)
        return [("sync/run", CycleParams(deletions=answer if _held_back(found) == subject else None))]

    def _identity(self, task: Task, *, same: bool) -> list[Call]:
        """Only while it is so: whoever answered elsewhere can push again."""
        sidecar, cycle = self._sidecar(), ("sync/run", CycleParams())
        try:
            sidecar.push(CycleParams(), task)
        except SidecarError as error:
            if error.kind != IDENTITY:
                raise
            remote = sidecar.status(StatusParams(), task).remote
            return [("sync/link", LinkParams(remote, same_device=same, new_device=not same)), cycle]
        return [cycle]


def _held_back(found: StatusResult | PreviewResult) -> tuple[int, list[tuple[str, int, bool]]]:
    return found.guarded, sorted((one.session_id, one.rows, one.whole) for one in found.guarded_sessions)
