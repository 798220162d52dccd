"""Ask the advisory services about every locked package: `make audit`, before a release.

Ends with 0 when no advisory is known, 1 when there are some, 2 when a service could not be asked (about all packages), which is no result.
Both package indexes are tried, whatever the first says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")
NONE, FOUND, NOT_ASKED = 0, 1, 2


@dataclass
class Answer:
    """`asked`: packages that the service knew; `found`: "name version advisory"; `unasked`: why it is no answer, or not of all packages."""

    asked: int = 0
    found: list[str] = field(default_factory=list)
    unasked: str = ""


def of_pip_audit(output: str, errors: str) -> Answer:
    """From `pip-audit --format json`. A package that the index does not know is skipped there, and counts as no answer here."""
    known = _json(output)
    if not isinstance(known.get("dependencies"), list):
        return Answer(unasked=_last_line(errors))
    answer, skipped = Answer(), []
    for package in known["dependencies"]:
        if "skip_reason" in package:
            skipped.append(package["name"])
            continue
        answer.asked += 1
        answer.found += [f"{package['name']} {package['version']} {weakness['id']}" for weakness in package.get("vulns", [])]
    if skipped:
        answer.unasked = f"{len(skipped)} packages are not known there: {', '.join(skipped[:3])}, …"
    elif not answer.asked:
        answer.unasked = "it said nothing of any package"
    return answer


def of_npm(output: str, errors: str) -> Answer:
    """From `npm audit --json`."""
    known = _json(output)
    if not isinstance(known.get("vulnerabilities"), dict):
        return Answer(unasked=str(known.get("message") or _last_line(errors)))
    found = [f"{name} {weakness.get('range', '')} {weakness.get('severity', '')}" for name, weakness in known["vulnerabilities"].items()]
    return Answer(asked=int(known.get("metadata", {}).get("dependencies", {}).get("total", 0)), found=found)


def report(answers: dict[str, Answer]) -> int:
    """Prints a line for each index, and what was found."""
    for title, answer in answers.items():
        said = f"{len(answer.found)} advisories" if answer.found else "no known advisories" if answer.asked else ""
        said = f"{said} for {answer.asked} packages" if said else ""
        missing = f"could not be asked: {answer.unasked}" if answer.unasked else ""
        print(f"{title}: {'; '.join(part for part in (said, missing) if part)}")
        for line in answer.found:
            print(f"  {line}")
    if any(answer.found for answer in answers.values()):
        return FOUND
    return NOT_ASKED if any(answer.unasked for answer in answers.values()) else NONE


def _json(output: str) -> dict[str, Any]:
    try:
        known = json.loads(output)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no answer"])[-1][:200]


def _run(command: list[str], folder: Path) -> tuple[str, str]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip-audit", default="pip-audit", help="the program")
    parser.add_argument("--npm", default="npm", help="the program")
    given = parser.parse_args()
    pip_audit = [given.pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    answers = {lock: of_pip_audit(*_run([*pip_audit, "-r", lock], ROOT)) for lock in LOCKS}
    answers["client-shim/package-lock.json"] = of_npm(*_run([given.npm, "audit", "--json"], ROOT / "client-shim"))
    return report(answers)


if __name__ == "__main__":
    sys.exit(main())
