"""What all checks of `doctor` share: where they write their findings, and that none of them can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from protocol.trust import Check
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.services.workspace import Workspace

REPAIR = "Run `opencode-sidecar repair`."

Open = Callable[[Identity], AbstractContextManager["Workspace"]]
Lock = Callable[[Task], AbstractContextManager[None]]
WhoCanRead = Callable[[Identity, Task], tuple[bool, str, str]]


class Examination:
    """One examination. A check that cannot be made is a finding, never an error.

    `problems_of_settings`: what is wrong with our settings' file; raises SidecarError. `who_can_read` the remote: (fine, what was found, remedy).
    """

    def __init__(
        self,
        settings: Settings,
        identity: Identity | None,
        task: Task,
        open_workspace: Open,
        lock: Lock,
        problems_of_settings: Callable[[], list[str]],
        who_can_read: WhoCanRead,
        *,
        offline: bool,
    ) -> None:
        self.settings, self.identity, self.task, self.offline = settings, identity, task, offline
        self._open, self.lock, self.problems_of_settings = open_workspace, lock, problems_of_settings
        self.who_can_read = who_can_read
        self.checks: list[Check] = []

    @contextmanager
    def finding(self, name: str) -> Iterator[None]:
        try:
            yield
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            self.say(name, False, f"{error.message} {error.detail}".strip(), error.remedy)
        except OSError as error:
            self.say(name, False, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "Check the permissions of this file or folder.")
        except Exception as error:  # noqa: BLE001 - whatever state a file is in, the other checks go on
            self.say(name, False, f"This could not be checked: {type(error).__name__}: {error}", REPAIR)

    def say(self, name: str, ok: bool, detail: str, remedy: str = "") -> None:
        self.checks.append(Check(name, ok, detail, "" if ok else remedy))

    def workspace(self) -> AbstractContextManager[Workspace]:
        assert self.identity is not None
        return self._open(self.identity)
