"""A key that somebody pasted into a conversation: where it may go, and what the user can decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_schema
from tests.support.planted import github, reaches

NOW = 1_790_000_000_000
HOUR = 3_600_000


def machine(root: Path, *link: str) -> Machine:
    found = from_schema(root)
    found.cli(*link, "--device-name", root.name)
    return found


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare_remote(tmp_path / "remote.git")


def plain(tmp_path: Path, remote: Path) -> Machine:
    return machine(tmp_path / "a", "init", str(remote), "--encryption", "none", "--acknowledge-private")


def write(on: Machine, session: str, tags: list[str], canary: str | None = None, *, in_tag: str = "") -> None:
    """A session of so many turns, in one of which the canary stands."""
    db = on.connect()
    try:
        if not on.sql("SELECT 1 FROM session WHERE id=?", session):
            edits.new_session(db, session, NOW)
        for number, tag in enumerate(tags):
            edits.add_turn(db, session, tag, NOW + int(tag[-1]) * HOUR + number, f"export GH={canary} and" if tag == in_tag else "hello")
    finally:
        db.close()


def texts(on: Machine) -> dict[str, str]:
    return {key: json.loads(data)["text"] for key, data in on.sql("SELECT id, data FROM part")}


def findings(on: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = on.cli("secrets")["findings"]
    return found


def clean(remote: Path, on: Machine, canary: str) -> bool:
    """Nothing that leaves the machine has it, nor what we note of it here. The journal and the snapshot hold rows as they were."""
    ours = on.own_state
    noted = [path for path in ours.rglob("*") if path.is_file() and path.name.startswith(("shadow", "secrets", "device"))] + [*ours.glob("logs/*")]
    return not (reaches(remote, canary) or reaches(ours / "vault.git", canary) or any(canary.encode() in path.read_bytes() for path in noted))


def test_a_plain_vault_holds_the_turn_and_everything_after_it(tmp_path: Path, remote: Path) -> None:
    """Without this, whoever can read the remote has the key."""
    a, canary = plain(tmp_path, remote), github()
    write(a, "ses_1", ["t1", "t2", "t3"], canary, in_tag="t2")
    write(a, "ses_2", ["u1"])
    first = a.cli("sync", expect=(3,))
    assert first["secrets"] == 1
    assert clean(remote, a, canary)
    b = machine(tmp_path / "b", "link", str(remote), "--acknowledge-private")
    b.cli("sync")
    assert set(texts(b)) == {f"prt_msg_{tag}{who}" for tag in ("t1", "u1") for who in "ua"}, "whole turns before it, and every other session"
    again = a.cli("sync", expect=(3,))
    assert again["upToDate"], "what is held must not keep cycles busy"
    assert "secret" in {entry["reason"] for entry in a.cli("status")["attention"]}

    found = findings(a)
    assert {(f["rule"], f["state"], f["path"], f["table"]) for f in found} == {("github", "held", "data.text", "part")}
    assert canary not in json.dumps(found)
    assert canary not in a.run("secrets").stdout
    a.cli("secrets", "allow", found[0]["fingerprint"])
    a.cli("sync")
    b.cli("sync")
    assert texts(b) == texts(a), "what is allowed travels, and what waited behind it"
    assert reaches(remote, canary), "the search finds what is there"


def test_redacted_is_the_published_copy_alone(tmp_path: Path, remote: Path) -> None:
    """Else the transcript here is ruined, or comes back ruined."""
    a, canary = plain(tmp_path, remote), github()
    a.cli("secrets", "policy", "redact")
    write(a, "ses_1", ["t1", "t2"], canary, in_tag="t1")
    before = a.content()
    assert "taken out" in " ".join(a.cli("sync")["warnings"])
    b = machine(tmp_path / "b", "link", str(remote), "--acknowledge-private")
    b.cli("sync")
    assert a.content() == before
    assert texts(b)["prt_msg_t1u"].startswith("export GH=[redacted:github:")
    db = b.connect()
    part = json.loads(b.sql("SELECT data FROM part WHERE id='prt_msg_t1u'")[0][0])
    db.execute("UPDATE part SET data=?, time_updated=? WHERE id='prt_msg_t1u'", (json.dumps(part | {"synthetic": True}), NOW + 9 * HOUR))
    edits.wrote(db, "ses_1")
    db.close()
    b.cli("sync")
    a.cli("sync")
    mine = json.loads(a.sql("SELECT data FROM part WHERE id='prt_msg_t1u'")[0][0])
    assert mine["synthetic"], "a change from the other machine arrives"
    assert canary in mine["text"], "with the text that was here"
    for path in a.own_state.glob("shadow.db*"):
        path.unlink()
    assert a.cli("sync")["upToDate"], "a lost shadow publishes nothing anew"
    assert b.cli("sync")["upToDate"]
    assert canary in texts(a)["prt_msg_t1u"]
    assert clean(remote, a, canary)

    a.cli("secrets", "policy", "default")
    a.cli("secrets", "allow", "--rule", "github")
    a.cli("sync")
    b.cli("sync")
    assert canary not in texts(b)["prt_msg_t1u"], "what is redacted stays so: the shadow that knew of it is lost"


def test_an_edit_with_a_secret_in_it_arrives_where_the_row_had_none(tmp_path: Path, remote: Path) -> None:
    a = plain(tmp_path, remote)
    a.cli("secrets", "policy", "redact")
    write(a, "ses_1", ["a1"])
    a.cli("sync")
    b = machine(tmp_path / "b", "link", str(remote), "--acknowledge-private")
    b.cli("sync")
    db = a.connect()
    edits.edit_part(db, "prt_msg_a1u", f"what else was said, and {github()}", NOW + 5 * HOUR)
    db.close()
    a.cli("sync")
    b.cli("sync")
    assert "what else was said" in texts(b)["prt_msg_a1u"], "all of an edit is kept from the other machines because of a secret in it, and nothing says so"
    assert b.cli("verify")["ok"]


def test_an_encrypted_vault_warns(tmp_path: Path, remote: Path) -> None:
    canary = github()
    a = machine(tmp_path / "a", "init", str(remote))
    write(a, "ses_1", ["t1"], canary, in_tag="t1")
    assert "1 possible secret" in " ".join(a.cli("sync")["warnings"])
    assert a.cli("sync")["warnings"] == [], "said once"
    assert {f["state"] for f in findings(a)} == {"published"}
    everything = a.cli("secrets", "list", "--all")["findings"]
    assert sorted(everything, key=lambda f: str(f["key"])) == sorted(findings(a), key=lambda f: str(f["key"]))


def test_allowing_what_was_redacted_publishes_it(tmp_path: Path, remote: Path) -> None:
    a, canary = plain(tmp_path, remote), github()
    a.cli("secrets", "policy", "redact")
    write(a, "ses_1", ["t1"], canary, in_tag="t1")
    a.sql("UPDATE session SET title=?", f"about {canary}")
    a.cli("sync")
    assert not reaches(remote, canary)
    assert {finding["title"] for finding in findings(a)} == {""}, "a title with a secret in it is not shown"
    b = machine(tmp_path / "b", "link", str(remote), "--acknowledge-private")
    b.cli("sync")
    assert b.sql("SELECT title FROM session")[0][0].startswith("about [redacted:github:")
    a.cli("secrets", "allow", "--session", "ses_1")
    a.cli("sync")
    b.cli("sync")
    assert b.content() == a.content()


def test_a_title_holds_a_new_session_and_a_deletion_elsewhere_waits(tmp_path: Path, remote: Path) -> None:
    """A held change is never lost to somebody else's deletion, and does not keep the machines busy."""
    a, canary = plain(tmp_path, remote), github()
    write(a, "ses_1", ["t1"])
    a.cli("sync")
    b = machine(tmp_path / "b", "link", str(remote), "--acknowledge-private")
    b.cli("sync")
    write(a, "ses_1", ["t2"], canary, in_tag="t2")
    a.cli("sync", expect=(3,))
    db = b.connect()
    edits.delete_session(db, "ses_1")
    db.close()
    b.cli("sync")
    for _ in range(2):
        result = a.cli("sync", expect=(3,))
    assert result["upToDate"]
    assert canary in texts(a)["prt_msg_t2u"]
    a.cli("secrets", "allow", "--rule", "github")
    a.cli("sync")
    b.cli("sync")
    assert texts(b).keys() == texts(a).keys()
    assert canary in texts(b)["prt_msg_t2u"]


def test_what_cannot_be_decided_is_refused(tmp_path: Path, remote: Path) -> None:
    a = plain(tmp_path, remote)
    for arguments in (["allow"], ["allow", "zz"], ["allow", "--rule", "a", "--session", "b"], ["policy", "burn"], ["allow", "--rule", "../x"]):
        done = a.run("--json", "secrets", *arguments)
        assert done.returncode in (1, 2)
        assert json.loads(done.stdout)["error"]["kind"] == "invalidParams"
