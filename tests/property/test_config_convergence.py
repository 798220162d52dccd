"""2 to 4 devices edit their configuration at random and sync in any order: in the end all show the same, and nothing happens any more."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.config import ResolveParams
from sidecar.adapters.secrets.settings import looks_secret
from sidecar.app import Sidecar
from sidecar.domain.config_merge import canonical
from sidecar.domain.config_plan import SWITCHES, ConfigSettings
from sidecar.domain.config_secrets import scrub
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services import config_sync
from sidecar.services.config_model import ConfigOutcome
from sidecar.services.config_remote import RemoteConfig
from sidecar.services.config_resolve import resolve
from sidecar.services.config_sync import ConfigSync
from sidecar.settings import Settings
from tests.support.configs import Config, configs

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "20"))
SECRETS = ("hidden-one", "hidden-two")
NAMES = ("opencode.json", "opencode.jsonc")


class Crash(BaseException):
    """The process dies here: nothing catches it."""


class CrashingTask(Task):
    """Dies at the n-th point where the operation looks at its task."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash


class Vault:
    """What the remote holds, in memory, with a rival that may push between our fetch and our push."""

    def __init__(self) -> None:
        self.states: list[dict[str, bytes]] = [{}]
        self.rivals: list[dict[str, bytes]] = []
        self.while_pushing: Callable[[], None] = lambda: None

    def heads(self) -> dict[str, str]:
        return {"main": str(len(self.states) - 1)} if len(self.states) > 1 else {}


class Branch:
    """Stands for ConfigVault."""

    sealed, branch = False, "main"

    def __init__(self, ws: Any, _heads: Mapping[str, str]) -> None:
        self.vault: Vault = ws.vault

    def fetch(self, _task: Task, heads: Mapping[str, str]) -> RemoteConfig:
        if "main" not in heads:
            return RemoteConfig()
        state = self.vault.states[int(heads["main"])]
        return RemoteConfig(heads["main"], {path: hashlib.sha256(data).hexdigest() for path, data in state.items()})

    def read(self, remote: RemoteConfig, path: str) -> bytes:
        return self.vault.states[int(remote.commit or 0)][path]

    def push(self, task: Task, remote: RemoteConfig, changed: Mapping[str, bytes | None], _message: str, _programs: set[str]) -> RemoteConfig:
        vault = self.vault
        task.check()
        if vault.rivals:
            vault.states.append({**vault.states[-1], **vault.rivals.pop()})
        if int(remote.commit or 0) != len(vault.states) - 1:
            raise SidecarError("remoteBusy", "somebody was faster", detail="nonFastForward")
        state = {path: data for path, data in {**vault.states[-1], **changed}.items() if data is not None}
        assert not any(secret.encode() in data for data in state.values() for secret in SECRETS), "a secret was pushed"
        vault.states.append(state)
        vault.while_pushing()
        task.check()
        return RemoteConfig(str(len(vault.states) - 1), {path: hashlib.sha256(data).hexdigest() for path, data in state.items()})


class Device:
    """`main`: what opencode's settings are called here; opencode reads either name."""

    def __init__(self, root: Path, vault: Vault, main: str = "opencode.json") -> None:
        self.root, self._called = root, main
        root.mkdir()
        self.settings = Settings.from_environ({"HOME": str(root), "PATH": os.environ["PATH"]})
        self.folder = self.settings.config_root
        self.folder.mkdir(parents=True)
        self.vault = vault
        self.cycle = 0

    def sync(self, crash_after: int = 0) -> ConfigOutcome | None:
        self.cycle += 1
        try:
            return self._sync(CrashingTask(crash_after))
        except Crash:
            return None

    def _sync(self, task: Task) -> ConfigOutcome:
        return self.parts(task).run(f"cycle{self.cycle}", self.vault.heads(), publish=True, fetch=True)

    def parts(self, task: Task | None = None) -> ConfigSync:
        ws: Any = SimpleNamespace(
            vault=self.vault,
            sealer=None,
            identity=SimpleNamespace(vault_id="v", encryption="none"),
            repo=SimpleNamespace(remote_heads=lambda _: self.vault.heads()),
        )
        chosen = ConfigSettings({**SWITCHES, "includeConfig": True, "includePromptStash": True})
        return ConfigSync(ws, Sidecar(self.settings)._config_parts(chosen), task or Task())

    def conflicts(self) -> list[Any]:
        return resolve(self.parts(), "c", ResolveParams()).conflicts

    def settle(self, choice: str) -> None:
        for conflict in self.conflicts():
            self.cycle += 1
            resolve(self.parts(), f"cycle{self.cycle}", ResolveParams(conflict.id, choice))

    @property
    def main(self) -> Path:
        """Whatever comes in from elsewhere is called as it is there."""
        return next((self.folder / name for name in NAMES if (self.folder / name).exists()), self.folder / self._called)

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and "overrides" not in path.name:
                data = path.read_bytes()
                name = "opencode.json" if path.name in NAMES else path.relative_to(self.folder).as_posix()
                assert name not in found, "one configuration became two files"
                found[name] = canonical(json.loads(data)) if path.name in NAMES else data
        return found

    def edit(self, kind: str, key: str, value: Any) -> None:
        if kind == "rename":
            if self.main.exists():
                self.main.rename(self.folder / NAMES[NAMES.index(self.main.name) - 1])
        elif kind == "drop":
            self.main.unlink(missing_ok=True)
        elif kind in ("set", "unset"):
            path = self.main
            now = json.loads(path.read_bytes()) if path.exists() else {}
            whole = now if key in ("model", "plugin") else now.setdefault("mcp", {})
            if kind == "unset":
                whole.pop(key, None)
            elif key == "plugin":
                now["plugin"] = sorted({*now.get("plugin", []), value})
            else:
                whole[key] = value
            path.write_text(json.dumps(now, indent=2))
        elif kind == "real":
            path = self.main
            now = json.loads(path.read_bytes()) if path.exists() else {}
            path.write_text(json.dumps(now | value, indent=2))
        elif kind == "line":
            path = self.folder / "AGENTS.md"
            lines = path.read_text().splitlines() if path.exists() else [f"line {number}" for number in range(12)]
            lines[sum(map(ord, key)) % 3 * 5 : 0] = [str(value)]
            path.write_text("\n".join(lines) + "\n")
        else:
            path = self.folder / "agents" / f"{key}.md"
            path.parent.mkdir(exist_ok=True)
            if kind == "write":
                path.write_text(f"{value}\n")
            else:
                path.unlink(missing_ok=True)


def portable(config: Config) -> Any:
    """Without what would stay on its machine, and without the list that the other edits keep sorted."""
    value = scrub(config.value, None, {}, lambda _: False, looks_secret).value
    return {name: inner for name, inner in value.items() if name != "plugin"}


KEYS = st.sampled_from(["model", "plugin", "a", "b"])
VALUES = st.sampled_from(["x", "y", "z"])
EDITS = st.tuples(st.just("edit"), st.sampled_from(["set", "set", "unset", "rename", "drop", "line", "write", "remove"]), KEYS, VALUES, st.integers(0, 3))
REAL = st.tuples(st.just("edit"), st.just("real"), KEYS, configs(secrets=False).map(portable), st.integers(0, 3))
"""Members as opencode's own schema has them."""
SYNCS = st.tuples(st.just("sync"), st.booleans(), st.integers(0, 12), st.integers(0, 3))
SCRIPTS = st.lists(st.one_of(EDITS, EDITS, REAL, SYNCS, SYNCS), min_size=4, max_size=14)


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_sync, "ConfigVault", Branch)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4), SCRIPTS, st.sampled_from(["mine", "theirs"]))
def test_configuration_converges(called: list[str], script: list[Any], choice: str) -> None:
    count = len(called)
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault()
        devices = [Device(Path(folder) / f"d{number}", vault, name) for number, name in enumerate(called)]
        for step in script:
            device = devices[step[-1] % count]
            if step[0] == "edit":
                device.edit(*step[1:4])
            else:
                if step[1]:
                    vault.rivals.append({"config/agents/rival.md": str(len(vault.states)).encode()})
                before = device.content()
                device.sync(step[2])
                _lost_nothing(device, before)
        vault.rivals.clear()
        for _ in range(3):
            for device in devices:
                device.sync()
        for device in devices:  # one after the other, as people do
            device.settle(choice)
            device.sync()
            for other in devices:
                other.sync()
        for device in devices:
            device.settle("theirs")
        for _ in range(2):
            for device in devices:
                device.sync()
        assert len(vault.states[-1].keys() & {f"config/{name}" for name in NAMES}) <= 1, "one configuration became two files in the vault"
        for device in devices:
            assert device.conflicts() == []
            assert device.content() == devices[0].content(), "devices disagree for ever"
            done = device.sync()
            assert done is not None
            assert (done.files, done.pushed) == ([], False), "a cycle with nothing to do did something"


def _lost_nothing(device: Device, before: dict[str, Any]) -> None:
    """Whatever a sync replaced is in the backup of that cycle."""
    after = device.content()
    store = device.parts().parts.store
    kept = {Path(entry["target"]).relative_to(device.folder).as_posix() for entry in store.backup(f"cycle{device.cycle}")}
    kept |= {"opencode.json" for name in NAMES if name in kept}
    for name, data in before.items():
        assert after.get(name) == data or name in kept, f"{name} was changed without a copy"


def test_a_file_that_changed_while_it_was_synced_is_not_overwritten(tmp_path: Path) -> None:
    vault = Vault()
    a, b = (Device(tmp_path / name, vault) for name in "ab")
    a.edit("set", "model", "x")
    a.sync()
    b.sync()
    a.edit("set", "a", "y")
    a.sync()
    b.edit("set", "b", "z")
    vault.while_pushing = lambda: b.edit("set", "model", "typed just now")
    b.sync()
    vault.while_pushing = lambda: None
    for device in (b, a, b):
        device.sync()
    for device in (a, b):
        assert json.loads((device.folder / "opencode.json").read_bytes()) == {"model": "typed just now", "mcp": {"a": "y", "b": "z"}}


def test_a_crash_right_after_the_push_makes_no_conflict(tmp_path: Path) -> None:
    """The vault has this device's own merge then, which is nobody else's edit. Lines that are alike could be matched either way."""
    vault = Vault()
    a, b = (Device(tmp_path / name, vault) for name in "ab")
    texts = [device.folder / "AGENTS.md" for device in (a, b)]
    texts[0].write_text("same\n" * 9)
    a.sync()
    b.sync()
    texts[0].write_text("from a\n" + "same\n" * 8)
    a.sync()
    texts[1].write_text("same\n" * 8 + "from b\n")

    def die() -> None:
        raise Crash

    vault.while_pushing = die
    assert b.sync() is None
    vault.while_pushing = lambda: None
    texts[1].write_text("same\n" * 8 + "from b\nand then\n")
    b.sync()
    a.sync()
    assert b.conflicts() == [], "a person is asked about what nobody changed"
    for text in texts:
        assert text.read_text() == "from a\n" + "same\n" * 7 + "from b\nand then\n"


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(SECRETS), min_size=2, max_size=2), st.lists(st.sampled_from(["model", "rotate", "sync0", "sync1"]), max_size=8))
def test_each_device_keeps_its_own_secret(secrets: list[str], script: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault()
        devices = [Device(Path(folder) / f"d{number}", vault) for number in range(2)]
        for device, secret in zip(devices, secrets, strict=True):
            (device.folder / "opencode.json").write_text(json.dumps({"mcp": {"m": {"headers": {"TOKEN": secret}}}, "model": "a"}))
        for number, step in enumerate(script):
            if step.startswith("sync"):
                devices[int(step[-1])].sync()
            else:
                path = devices[number % 2].folder / "opencode.json"
                value = json.loads(path.read_bytes())
                if step == "model":
                    value["model"] = f"m{number}"
                else:
                    secrets[number % 2] = SECRETS[1 - SECRETS.index(secrets[number % 2])]
                    value["mcp"]["m"]["headers"]["TOKEN"] = secrets[number % 2]
                path.write_text(json.dumps(value))
        for device in (*devices, *devices):
            device.sync()
        for device, secret in zip(devices, secrets, strict=True):
            value = json.loads((device.folder / "opencode.json").read_bytes())
            assert value["mcp"]["m"]["headers"]["TOKEN"] == secret, "a device lost its key, or has another's"
