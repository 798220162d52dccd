"""What no extra path reaches, by whatever name: opencode's databases and our own state."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.config.local import LocalFiles
from sidecar.domain.config_names import Refused
from sidecar.domain.config_plan import extra_row


@pytest.fixture
def local(tmp_path: Path) -> LocalFiles:
    for name in ("data/other", "state/ours/sub", "home"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/link").symlink_to(tmp_path / "data")
    roots = {name: tmp_path / name for name in ("config", "data", "state", "home")}
    return LocalFiles(roots, tmp_path / "state/ours", tmp_path / "data/opencode.db")


@pytest.mark.parametrize(
    "path", ["data/opencode.db", "data/opencode.db-wal", "data/opencode.db-shm", "data/opencode-dev.db", "state/ours", "state/ours/sub/x", "home/link/opencode.db"]
)  # fmt: skip
def test_a_file_of_the_vault_never_comes_there(local: LocalFiles, tmp_path: Path, path: str) -> None:
    folder, _, name = path.rpartition("/")
    for row, repo in ((extra_row(str(tmp_path / path), "config/extra/r", secret=False), "config/extra/r"),
                      (extra_row(str(tmp_path / folder), "config/extra/r", secret=True), f"config/extra/r/{name}")):  # fmt: skip
        with pytest.raises(Refused, match="no configuration"):
            local.place(row, repo)


@pytest.mark.parametrize("path", ["data/notes.txt", "data/other/my.db", "data/openclaw.db", "state/ours.txt", "home/link/notes.txt"])
def test_what_is_beside_it_does(local: LocalFiles, tmp_path: Path, path: str) -> None:
    assert local.place(extra_row(str(tmp_path / path), "config/extra/r", secret=False), "config/extra/r").name == Path(path).name
