"""What `make audit` makes of the answers: that no answer is never taken for a good one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = json.dumps({"dependencies": [{"name": "attrs", "version": "26.1.0", "vulns": []}], "fixes": []})
WEAK = json.dumps({"dependencies": [{"name": "gitpython", "version": "3.1.45", "vulns": [{"id": "GHSA-rpm5-65cw-6hj4", "fix_versions": ["3.1.47"]}]}]})
SKIPPED = json.dumps({"dependencies": [{"name": "attrs", "version": "26.1.0", "vulns": []}, {"name": "rich", "skip_reason": "Dependency not found"}]})
NPM_CLEAN = json.dumps({"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"dependencies": {"total": 93}}})
NPM_WEAK = json.dumps({"vulnerabilities": {"esbuild": {"range": "<0.28.1", "severity": "high"}}, "metadata": {"dependencies": {"total": 93}}})
NPM_REFUSED = json.dumps({"message": "405 Method Not Allowed", "statusCode": 405, "error": {"summary": ""}})


def answering(path: Path, output: str, status: int) -> str:
    path.write_text(f"#!{sys.executable}\nimport sys\nprint({output!r})\nprint('first line\\nno route to host', file=sys.stderr)\nsys.exit({status})\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("pip_audit", "npm", "status", "lines"),
    [
        ((CLEAN, 0), (NPM_CLEAN, 0), 0, ["requirements.lock: no known advisories for 1 packages", "package-lock.json: no known advisories for 93 packages"]),
        ((WEAK, 1), (NPM_CLEAN, 0), 1, ["requirements.lock: 1 advisories", "gitpython 3.1.45 GHSA-rpm5-65cw-6hj4", "package-lock.json: no known advisories"]),
        ((CLEAN, 0), (NPM_WEAK, 1), 1, ["requirements.lock: no known advisories", "package-lock.json: 1 advisories", "esbuild <0.28.1 high"]),
        ((CLEAN, 0), (NPM_REFUSED, 1), 2, ["requirements.lock: no known advisories", "package-lock.json: could not be asked: 405 Method Not Allowed"]),
        (("", 1), (NPM_CLEAN, 0), 2, ["requirements.lock: could not be asked: no route to host", "package-lock.json: no known advisories"]),
        ((SKIPPED, 0), (NPM_CLEAN, 0), 2, ["no known advisories for 1 packages; could not be asked: 1 packages are not known there: rich"]),
        (("", 1), (NPM_WEAK, 1), 1, ["requirements.lock: could not be asked", "package-lock.json: 1 advisories"]),
        (('{"dependencies": []}', 0), (NPM_CLEAN, 0), 2, ["requirements.lock: could not be asked: it said nothing of any package"]),
        (("[]", 0), ("not JSON", 0), 2, ["requirements.lock: could not be asked", "package-lock.json: could not be asked"]),
    ],
)
def test_the_status_tells_none_from_some_from_no_answer(
    tmp_path: Path, pip_audit: tuple[str, int], npm: tuple[str, int], status: int, lines: list[str]
) -> None:
    """A release would go out with a known weakness because nobody could be asked about it."""
    programs = ["--pip-audit", answering(tmp_path / "pip-audit", *pip_audit), "--npm", answering(tmp_path / "npm", *npm)]
    done = subprocess.run([sys.executable, "scripts/audit.py", *programs], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    for line in lines:
        assert line in done.stdout


def test_a_program_that_is_not_there_is_no_answer() -> None:
    missing = ["--pip-audit", "/nowhere/pip-audit", "--npm", "/nowhere/npm"]
    done = subprocess.run([sys.executable, "scripts/audit.py", *missing], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout.count("could not be asked") == 4
    assert "Traceback" not in done.stderr
