"""Questions that a host puts to its user (`window/showMessageRequest`), and what follows from the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from protocol.common import MessageAction, QuestionParams
from protocol.sync import CycleParams, CycleResult

WARNING = 2
PUBLISH, RESTORE = "Delete on all machines", "Bring them back"
_ANSWERS = {PUBLISH: "publish", RESTORE: "restore"}

Ask = Callable[[QuestionParams, Callable[[Any], None]], None]


class Questions:
    """The deletion guard's question: once for what is held back, and again when that is something else.

    `ask` sends it and calls back with the host's result. `run` starts a cycle, as `sync/run` would. Safe from any thread.
    """

    def __init__(self, ask: Ask, run: Callable[[CycleParams], None]) -> None:
        self._ask, self._run = ask, run
        self._lock = threading.Lock()
        self._asked = 0
        self.possible = False
        """Whether the host said that it can show one."""

    def about(self, result: Any) -> None:
        """Ask what the result of a method leaves open."""
        if not isinstance(result, CycleResult) or not self.possible:
            return
        with self._lock:
            known, self._asked = self._asked, result.guarded
        if result.guarded and result.guarded != known:
            text = f"{result.guarded} sessions vanished here, or lost something, so many that it may be an accident. Did you delete them?"
            self._ask(QuestionParams(WARNING, text, [MessageAction(RESTORE), MessageAction(PUBLISH)]), self._answered)

    def _answered(self, chosen: Any) -> None:
        """Anything but one of the two leaves it open; `status` still shows it."""
        answer = _ANSWERS.get(str(chosen.get("title"))) if isinstance(chosen, dict) else None
        if answer is not None:
            self._run(CycleParams(deletions=answer))
