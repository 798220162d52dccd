"""Secrets planted everywhere in a configuration: none is pushed to a plain vault, shown or logged."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.machines import Machine

Make = Callable[..., Machine]
C = "cAnArY"
TOKEN = f"ghp_{C}{'a1' * 15}"
CONFIG = f"""// my old key was {TOKEN}
{{
  /* sk-ant-{C}0123456789abcdef */
  "mcp": {{
    "remote": {{"type": "remote", "url": "https://{C}:{C}@h.invalid/mcp?api_key={C}", "headers": {{"Authorization": "Bearer {C}", "X-Thing": "{C}"}},
               "oauth": {{"clientId": "public", "clientSecret": "{C}"}}}},
    "local": {{"type": "local", "command": ["x", "--api-key", "{C}", "--token={C}", "SECRET={C}", "--header", "Authorization: Bearer {C}"],
              "environment": {{"NOTES_TOKEN": "{C}", "DSN": "postgres://u:{C}@h/db", "NODE_ENV": "production"}}}}
  }},
  "provider": {{"p": {{"options": {{"apiKey": "{C}", "headers": {{"x-api-key": "{C}"}}, "baseURL": "https://h.invalid/v1"}}}}}},
  "plugin": [["thing", {{"password": "{C}", "deep": [{{"accessToken": "{C}"}}]}}]],
  "instructions": ["see {TOKEN}"],
  "model": "a/b" // {TOKEN}
}}
"""


def test_no_planted_secret_is_pushed_shown_or_logged(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    folder = a.root / "config/opencode"
    for name in ("agents", "plugins", "themes"):
        (folder / name).mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (folder / "opencode.jsonc").write_text(CONFIG)
    (folder / "tui.json").write_text(json.dumps({"theme": "x", "apiKey": C}))
    (folder / "agents/a.md").write_text(f"use {TOKEN}\n")
    (folder / "plugins/p.ts").write_text(f'const key = "{TOKEN}"\n')
    (folder / "themes/t.json").write_text(json.dumps({"note": TOKEN}))
    for name in ("auth.json", "mcp-auth.json"):
        (a.root / "data/opencode" / name).write_text(json.dumps({"x": {"key": C}}))
    (a.root / "state/opencode").mkdir(parents=True)
    (a.root / "state/opencode/prompt-history.jsonl").write_text(json.dumps({"input": C}) + "\n")
    (a.root / "state/opencode/model.json").write_text(json.dumps({"recent": [C], "favorite": []}))
    said = a.cli("init", str(remote), "--encryption", "none"), a.cli("preview"), a.cli("sync"), a.cli("status"), a.cli("history")
    text = a.run("sync").stdout + a.run("resolve").stdout
    other = b.root / "config/opencode"
    other.mkdir(parents=True)
    (other / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (other / "opencode.jsonc").write_text('{"model": "other"}')
    b.cli("link", str(remote))
    b.cli("sync", expect=(3,))
    a.cli("sync")
    assert C not in json.dumps(said) + text, "a secret was shown"
    env = {"PATH": os.environ["PATH"], "HOME": str(remote)}
    names = subprocess.run(["git", "-C", str(remote), "rev-list", "--objects", "--all"], env=env, capture_output=True, check=True).stdout
    ids = b"\n".join(line.split()[0] for line in names.splitlines())
    pushed = subprocess.run(["git", "-C", str(remote), "cat-file", "--batch"], env=env, input=ids, capture_output=True, check=True).stdout
    for line in pushed.splitlines():
        assert C.encode() not in line, f"a secret was pushed: {line.decode(errors='replace')}"
    for log in (a.root / "state/opencode/opencode-sidecar").rglob("*.log*"):
        assert C not in log.read_text(errors="replace"), "a secret was logged"
    assert b"config/opencode.jsonc" in names or b"opencode.jsonc" in names
    assert json.loads((other / "opencode.jsonc").read_text())["mcp"]["local"]["environment"]["NODE_ENV"] == "production"
    assert (folder / "opencode.jsonc").read_text() == CONFIG, "the user's own file was changed"
