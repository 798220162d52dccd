"""Several machines with the same project and one vault, each with its own opencode, all servers running."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.machines import bare_remote
from tests.support.opencode.install import opencode
from tests.support.opencode.machine import Machine
from tests.support.opencode.mock import MockProvider


class Fleet:
    """`versions`: opencode's version per machine name. The first machine makes the project and the vault."""

    def __init__(self, root: Path, versions: Mapping[str, str]) -> None:
        self.root, self.versions = root, versions
        self.machines: list[Machine] = []
        self.provider: MockProvider
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.provider = MockProvider()
            self._stack.callback(self.provider.close)
            for name, version in self.versions.items():
                self._add(name, opencode(version))
            remote = bare_remote(self.root / "vault.git")
            key: list[str] = []
            for machine in self.machines:
                made = machine.sidecar("link" if key else "init", str(remote), "--device-name", machine.root.name, *key)
                key = key or ["--key", made["recoveryKey"]]
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _add(self, name: str, binary: Path) -> None:
        machine = Machine(self.root / name, binary, self.provider.url, folder=f"code-of-{name}/app")
        if self.machines:
            machine.clone_project(self.machines[0].app)
        else:
            machine.make_project()
        self._stack.callback(machine.stop)
        machine.start()
        self.machines.append(machine)

    def exchange(self) -> None:
        """Everybody's changes to everybody; then every database must be sound and nobody may wait for anything."""
        for machine in [*self.machines, *self.machines[:-1]]:
            result = machine.sidecar("sync")
            assert result["pending"] == 0, f"{machine.root.name}: changes were made, and are not published: {result}"
        for machine in self.machines:
            machine.check_database()


def fingerprint(machine: Machine) -> dict[str, str]:
    """The bytes of the database as it lies on disk."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name in ("", "-wal") if (path := Path(f"{machine.db}{name}")).exists()}
