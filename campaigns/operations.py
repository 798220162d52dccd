"""What the campaigns disturb: the state before each operation, its command, and how a person finishes it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from campaigns.world import Operation, World, require
from sidecar.domain.turns import ABANDONED_MS
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_fixture


def _bare(world: World) -> None:
    bare_remote(world.remote)
    from_fixture(world.root / "a", "ada-1.18.33")
    from_fixture(world.root / "b", "bob-1.18.33")


def _made(world: World) -> None:
    _bare(world)
    (world.root / "key").write_text(world.a.cli("init", world.url)["recoveryKey"])


def _linked(world: World) -> None:
    _made(world)
    world.b.cli("link", world.url, "--key-file", str(world.root / "key"))


def _published(world: World) -> None:
    _linked(world)
    world.a.cli("sync")


def merge_state(world: World) -> None:
    _linked(world)
    world.settle()
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    for one in (world.a, world.b):
        connection = one.connect()
        sessions = [row[0] for row in connection.execute("SELECT id FROM session ORDER BY id")]
        for number, session in enumerate(sessions[:6]):
            edits.add_turn(connection, session, f"{one.root.name}{number}", at + number, "x" * 50_000)
        edits.rename(connection, sessions[0], f"renamed on {one.root.name}")
        edits.delete_message(connection, connection.execute("SELECT id FROM message WHERE session_id=? ORDER BY id DESC", (sessions[7],)).fetchone()[0])
        edits.new_session(connection, f"ses_{one.root.name}", at, title="large")
        edits.add_turn(connection, f"ses_{one.root.name}", f"{one.root.name}L", at, "large " * 250_000)
        connection.close()
    world.b.cli("sync")


def _deleted(world: World) -> None:
    _linked(world)
    world.settle()
    connection = world.a.connect()
    (session,) = connection.execute("SELECT session_id FROM message GROUP BY session_id ORDER BY count(*) DESC, session_id LIMIT 1").fetchone()
    edits.delete_session(connection, session)
    connection.close()
    world.a.cli("sync", "--allow-deletions")
    (world.root / "cycle").write_text(world.b.cli("sync")["cycleId"])
    (world.root / "session").write_text(session)


def _init_again(world: World) -> None:
    done = world.a.cli("init", world.url, expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"init cannot be repeated: {done}")
    (world.root / "key").write_text(world.a.run("show-key", "--yes").stdout)
    _link_again(world)


def _link_again(world: World) -> None:
    done = world.b.cli("link", world.url, "--key-file", str(world.root / "key"), expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"link cannot be repeated: {done}")


def _restore_again(world: World) -> None:
    world.b.cli("restore", (world.root / "cycle").read_text())
    world.settle(1)
    session = (world.root / "session").read_text()
    require(world.b.sql("SELECT count(*) FROM session WHERE id=?", session) == [(1,)], "what was restored is gone")


def _known(world: World) -> None:
    _published(world)
    world.b.cli("sync", expect=(0, 3))
    world.a.cli("sync", expect=(0, 3))


def _rotate_again(world: World) -> None:
    world.a.cli("rotate-key")


def _handed(world: World) -> None:
    """The key was changed, while the other machine had recorded something under the old one: turns, and a large value."""
    _known(world)
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    connection = world.b.connect()
    edits.new_session(connection, "ses_new", at, title="recorded under the old key")
    edits.add_turn(connection, "ses_new", "new", at, "large " * 250_000)
    connection.close()
    world.b.cli("pull", expect=(0, 3))
    world.a.cli("rotate-key")
    world.a.cli("sync", expect=(0, 3))


def _one_key(world: World) -> None:
    world.settle()
    keys = {one.run("show-key", "--yes").stdout for one in (world.a, world.b)}
    require(len(keys) == 1, "the machines have different keys")


def _three(world: World) -> None:
    _known(world)
    c = from_fixture(world.root / "c", "cyd-1.18.34")
    c.cli("link", world.url, "--key-file", str(world.root / "key"))
    c.cli("sync")
    (world.root / "lost").write_text(next(d["id"] for d in c.cli("status")["devices"] if d["thisDevice"]))
    for one in (world.a, world.b):
        one.cli("sync", expect=(0, 3))


def _forget_again(world: World) -> None:
    done = world.a.cli("forget-device", (world.root / "lost").read_text(), expect=(0, 1))
    require("forgotten before" in str(done) or "recoveryKey" in done, f"forgetting cannot be repeated: {done}")


def _with_other(world: World) -> None:
    _known(world)
    bare_remote(world.root / "other.git")


def _move_again(world: World) -> None:
    for one in (world.a, world.b):
        one.cli("init", "--move-to", str(world.root / "other.git"))


def _damaged(world: World) -> None:
    """Our copy of the vault and the shadow, as a failing disk leaves them."""
    _published(world)
    for one in (world.b, world.a):
        one.cli("sync", expect=(0, 3))
    state = world.a.own_state
    for pack in (state / "vault.git/objects/pack").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 255
        pack.chmod(0o600)
        pack.write_bytes(data)
    for left in state.glob("shadow.db-*"):
        left.unlink()
    (state / "shadow.db").write_bytes(b"no database" * 500)
    (state / "vault.git/packed-refs.lock").write_text("")


def _repair_again(world: World) -> None:
    world.a.cli("repair")
    require(world.a.cli("repair")["actions"] == [], "a second repair has something to do")


def _vanished(world: World) -> None:
    """opencode's database was reset; what is asked about is to come back."""
    _published(world)
    world.b.cli("sync", expect=(0, 3))
    world.a.cli("sync")
    connection = world.a.connect()
    connection.execute("DELETE FROM session")
    connection.execute("DELETE FROM event_sequence")
    connection.close()


def _back_again(world: World) -> None:
    world.a.cli("sync", "--deletions", "restore")


def _worn(world: World) -> None:
    """A log of which much is superseded, a part of it large, and a device that has the first half of it."""
    _known(world)
    connection = world.a.connect()
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    parts = [row[0] for row in connection.execute("SELECT id FROM part ORDER BY id LIMIT 3")]
    (session,) = connection.execute("SELECT id FROM session ORDER BY id LIMIT 1").fetchone()
    for number in range(4):
        for part in parts:
            edits.edit_part(connection, part, f"edit {number} " * 150_000, at + number)
        edits.rename(connection, session, f"title {number}")
        world.a.cli("sync", expect=(0, 3))
    connection.close()
    world.a.cli("rotate-key")


def _compact_again(world: World) -> None:
    world.a.cli("compact")
    require(world.a.cli("compact")["done"] is False, "a compacted log is compacted again and again")


def _folder(machine: Machine) -> Path:
    folder = machine.root / "config/opencode"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _configured(world: World) -> None:
    """Settings of both have met once; since then each has changed, added and removed something."""
    _linked(world)
    for one in (world.a, world.b):
        (_folder(one) / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (_folder(world.a) / "opencode.json").write_text('{\n  // why\n  "model": "x/one",\n  "theme": "dark"\n}\n')
    (_folder(world.a) / "agents").mkdir()
    for name in ("changed", "gone", "kept"):
        (_folder(world.a) / f"agents/{name}.md").write_text(f"{name}\n" * 9)
    world.settle()
    (_folder(world.a) / "opencode.json").write_text('{\n  // why\n  "model": "x/two",\n  "theme": "dark"\n}\n')
    (_folder(world.a) / "agents/changed.md").write_text("from a\n" + "changed\n" * 8)
    (_folder(world.a) / "agents/new-a.md").write_text("a\n")
    world.a.cli("sync")
    headers = {"m": {"headers": {"TOKEN": "stays-with-b"}}}
    text = (_folder(world.b) / "opencode.json").read_text()
    (_folder(world.b) / "opencode.json").write_text(text.replace('"theme"', f'"mcp": {json.dumps(headers)},\n  "theme"'))
    (_folder(world.b) / "agents/changed.md").write_text("changed\n" * 8 + "from b\n")
    (_folder(world.b) / "agents/gone.md").unlink()
    (_folder(world.b) / "agents/new-b.md").write_text("b\n")


def _config_met(world: World) -> None:
    """Everything that either did is on both, and nothing of it half."""
    for one in (world.a, world.b):
        folder = _folder(one)
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        wanted = {"opencode-sidecar.jsonc", "opencode.json", *(f"agents/{name}.md" for name in ("changed", "kept", "new-a", "new-b"))}
        require(names - {"opencode-sidecar.overrides.jsonc"} == wanted, f"{one.root.name} has {sorted(names)}")
        require((folder / "agents/changed.md").read_text() == "from a\n" + "changed\n" * 7 + "from b\n", f"{one.root.name}: an edit of a text is lost")
        text = (folder / "opencode.json").read_text()
        require(all(part in text for part in ("// why", '"x/two"', '"dark"', '"TOKEN"')), f"{one.root.name}: a setting is lost: {text}")
        require(("stays-with-b" in text) == (one.root.name == "b"), f"{one.root.name}: the secret is not where it belongs: {text}")
        require(not one.cli("resolve", expect=(0, 3))["conflicts"], f"{one.root.name}: a conflict that is none")


def _config_came(world: World) -> None:
    """A cycle that changed files here, to be taken back."""
    _configured(world)
    (world.root / "cycle").write_text(world.b.cli("sync")["cycleId"])


def _config_back(world: World) -> None:
    world.b.cli("restore", (world.root / "cycle").read_text())


def _config_was(world: World) -> None:
    """What the cycle had brought is gone again, on both; what was edited here before it is there."""
    for one in (world.a, world.b):
        folder = _folder(one)
        require(not (folder / "agents/new-a.md").exists(), f"{one.root.name}: what was taken back is there")
        require((folder / "agents/changed.md").read_text() == "changed\n" * 8 + "from b\n", f"{one.root.name}: a text is not as it was")
        require('"x/one"' in (folder / "opencode.json").read_text(), f"{one.root.name}: a setting is not as it was")
        require((folder / "agents/new-b.md").read_text() == "b\n", f"{one.root.name}: what was edited here is gone")
    require("stays-with-b" in (_folder(world.b) / "opencode.json").read_text(), "a secret is lost")


def _nothing(_world: World) -> None:
    pass


OPERATIONS = [
    Operation("init", _bare, "a", lambda w: ["init", w.url], _init_again),
    Operation("link", _made, "b", lambda w: ["link", w.url, "--key-file", str(w.root / "key")], _link_again),
    Operation("publish", _linked, "a", lambda _: ["sync"], _nothing),
    Operation("apply", _published, "b", lambda _: ["sync"], _nothing, loses=True),
    Operation("merge", merge_state, "a", lambda _: ["sync"], _nothing, loses=True),
    Operation("restore", _deleted, "b", lambda w: ["restore", (w.root / "cycle").read_text()], _restore_again),
    Operation("forget", _three, "a", lambda w: ["forget-device", (w.root / "lost").read_text()], _forget_again),
    Operation("move", _with_other, "a", lambda w: ["init", "--move-to", str(w.root / "other.git")], _move_again),
    Operation("rotate", _known, "a", lambda _: ["rotate-key"], _rotate_again),
    Operation("adopt", _handed, "b", lambda _: ["sync"], _one_key),
    Operation("compact", _worn, "a", lambda _: ["compact"], _compact_again),
    Operation("config-sync", _configured, "b", lambda _: ["sync"], _nothing, check=_config_met),
    Operation("config-restore", _config_came, "b", lambda w: ["restore", (w.root / "cycle").read_text()], _config_back, check=_config_was),
    Operation("repair", _damaged, "a", lambda _: ["repair"], _repair_again),
    Operation("back", _vanished, "a", lambda _: ["sync", "--deletions", "restore"], _back_again),
]
