"""What every part of `Sidecar` may ask of the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sidecar.domain.task import Task
from sidecar.services.workspace import Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo
    from sidecar.services.workspace import Workspace


class Part(ABC):
    """Given by `Sidecar`, the composition root."""

    settings: Settings
    _wall: Callable[[], int]

    @abstractmethod
    def _elsewhere(self, own: Path) -> Self:
        """The same opencode, with everything that is ours in another folder."""

    @abstractmethod
    def _exclusive(self, task: Task) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _ours(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _identity(self) -> Identity: ...

    @abstractmethod
    def _repo(self, remote: str) -> AbstractContextManager[VaultRepo]: ...

    @abstractmethod
    def _workspace(self, identity: Identity | None = None, *, remote: bool = True, alone: bool = True) -> AbstractContextManager[Workspace]: ...

    @abstractmethod
    def _still_private(self, identity: Identity, task: Task) -> None:
        """Before something that is not sealed goes out. Raises remoteNotPrivate."""

    @abstractmethod
    def _who_can_read(self, identity: Identity, task: Task) -> tuple[bool, str, str]:
        """Whether that is well, what is known, and what to do."""
