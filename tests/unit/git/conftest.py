"""A vault of this machine, and a user with a home and a git configuration of his own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.adapters.git import VaultRepo
from tests.support.gitremote import bare

OpenVault = Callable[..., VaultRepo]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path / "remote.git")


@pytest.fixture
def open_vault(tmp_path: Path, environ: dict[str, str], remote: Path) -> Iterator[OpenVault]:
    """Open a vault: `open_vault("a")` with the remote; `url=None` for none, `env=` for another environment."""
    opened: list[VaultRepo] = []

    def open_one(name: str = "a", url: str | None = str(remote), env: dict[str, str] | None = None) -> VaultRepo:
        repo = VaultRepo.create(tmp_path / name / "vault.git", env or environ)
        opened.append(repo)
        if url is not None:
            repo.set_remote(url)
        return repo

    yield open_one
    for repo in opened:
        repo.close()


@pytest.fixture
def vault(open_vault: OpenVault) -> VaultRepo:
    return open_vault()
