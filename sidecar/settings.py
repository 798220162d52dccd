"""Where opencode keeps its files, and the only place that reads the environment.

The rules are opencode's own (measured; see docs/architecture.md): the XDG variables, else the same folders below the
home directory on every OS, Windows included.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROOTS = {
    "data": ("XDG_DATA_HOME", (".local", "share")),
    "config": ("XDG_CONFIG_HOME", (".config",)),
    "state": ("XDG_STATE_HOME", (".local", "state")),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders of one opencode installation. `environ` is handed to children and never logged."""

    home: Path
    data_root: Path
    config_root: Path
    state_root: Path
    db: Path
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    own: Path | None = None

    @property
    def own_state(self) -> Path:
        """Our own folder: identity, shadow, journal, repository, lock, logs. Never synced."""
        return self.own or self.state_root / "opencode-sidecar"

    @property
    def snapshot(self) -> Path:
        """The database as it was before anything was first written to it."""
        return self.own_state / "snapshots" / "before-first-apply.db"

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        data_root: str | os.PathLike[str] | None = None,
        config_root: str | os.PathLike[str] | None = None,
        state_root: str | os.PathLike[str] | None = None,
        db: str | os.PathLike[str] | None = None,
    ) -> Settings:
        """Resolve the roots. An explicit root names opencode's own folder, e.g. `~/.local/share/opencode`."""
        env = dict(os.environ if environ is None else environ)
        home = Path(env.get("HOME") or env.get("USERPROFILE") or os.path.expanduser("~"))
        roots = {
            name: _absolute(given) if given else _root(env, home, *_ROOTS[name])
            for name, given in (("data", data_root), ("config", config_root), ("state", state_root))
        }
        return cls(home, roots["data"], roots["config"], roots["state"], _database(env, roots["data"], db), env)


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _root(env: Mapping[str, str], home: Path, variable: str, below_home: tuple[str, ...]) -> Path:
    value = env.get(variable, "")
    return (Path(value) if os.path.isabs(value) else home.joinpath(*below_home)) / "opencode"


def _database(env: Mapping[str, str], data_root: Path, given: str | os.PathLike[str] | None) -> Path:
    if given:
        return _absolute(given)
    named = env.get("OPENCODE_DB", "")
    if named and named != ":memory:":
        return Path(named) if os.path.isabs(named) else data_root / named
    return _newest_channel(data_root) or data_root / "opencode.db"


def _newest_channel(data_root: Path) -> Path | None:
    """A release channel other than latest/beta/prod writes `opencode-<channel>.db`; take it when it is the only one."""
    if (data_root / "opencode.db").exists():
        return None
    others = sorted(data_root.glob("opencode-*.db")) if data_root.is_dir() else []
    return others[0] if len(others) == 1 else None
