"""Secrets over JSON-RPC, as a host sees them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import edits
from tests.support.machines import bare_remote, from_schema
from tests.support.planted import github, reaches
from tests.support.rawclient import RawClient

NOW = 1_790_000_000_000


def test_a_host_sees_and_decides(tmp_path: Path) -> None:
    """The whole stream is searched: a host may log every message."""
    machine, remote, canary = from_schema(tmp_path / "a"), bare_remote(tmp_path / "remote.git"), github()
    db = machine.connect()
    edits.new_session(db, "ses_1", NOW)
    edits.add_turn(db, "ses_1", "t1", NOW, canary)
    db.close()
    client = RawClient(machine.environ)
    try:
        client.initialize()
        client.call("sync/init", {"remote": str(remote), "encryption": "none"})
        answers = [client.call("sync/run", {})]
        assert answers[0]["result"]["secrets"] == 1
        answers.append(client.call("sync/secrets", {}))
        listed = answers[-1]["result"]
        assert (listed["policy"], listed["isDefault"]) == ("hold", True)
        assert {finding["fingerprint"] for finding in listed["findings"]} == {listed["findings"][0]["fingerprint"]}
        assert not reaches(remote, canary)
        for params in ({}, {"fingerprint": canary}, {"rule": "github", "session": "ses_1"}):
            answers.append(client.call("sync/allowSecret", params))
            assert answers[-1]["error"]["data"]["kind"] == "invalidParams"
        answers.append(client.call("sync/setSecretPolicy", {"policy": "redact"}))
        assert answers[-1]["result"]["policy"] == "redact"
        answers.append(client.call("sync/run", {}))
        assert (answers[-1]["result"]["secrets"], answers[-1]["result"]["published"]["sessions"]) == (0, 1)
        assert {finding["state"] for finding in client.call("sync/secrets")["result"]["findings"]} == {"redacted"}
        assert client.call("sync/allowSecret", {"fingerprint": listed["findings"][0]["fingerprint"]})["result"]["allowedFingerprints"]
        answers.append(client.call("sync/setSecretPolicy", {"policy": None}))
        assert answers[-1]["result"]["isDefault"]
        assert not reaches(remote, canary), "nothing is published by deciding alone"
        assert canary not in json.dumps([*answers, *client.notifications])
        client.call("sync/run", {})
        assert reaches(remote, canary)
    finally:
        client.kill()
