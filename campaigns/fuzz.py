"""`python -m campaigns.fuzz [--only TARGET …] [--seconds N] [--corpus FOLDER] [--keep]`: coverage-guided fuzzing of everything that reads foreign bytes.

Each target of `tests/fuzz/targets` runs in a process of its own under atheris, from the inputs in `tests/fuzz/corpus`. What breaks one is
written to `--corpus` (default: `.fuzz`) and named; add it to `tests/fuzz/corpus/TARGET/` with the fix. `--keep` adds what reached new code.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = ROOT / "tests/fuzz/corpus"
MAX_INPUT, MAX_KEPT, MAX_KEPT_BYTES = 4096, 30, 512
RSS_MB, INPUT_SECONDS = 2048, 20
_STAT = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


def child(name: str, options: list[str]) -> None:
    """In a process of its own: never returns."""
    import atheris

    with atheris.instrument_imports(include=["sidecar", "protocol"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], lambda data: TARGETS[name](bytes(data)))
    atheris.Fuzz()


def fuzz(name: str, seconds: int, folder: Path) -> tuple[bool, str]:
    """Whether it held, and a line of figures."""
    mine, broken = folder / name, folder / "broken" / name
    for path in (mine, broken):
        path.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT}", f"-rss_limit_mb={RSS_MB}", f"-timeout={INPUT_SECONDS}", "-print_final_stats=1"]
    command = [sys.executable, "-m", "campaigns.fuzz", "--child", name, *options, f"-artifact_prefix={broken}/", str(mine), str(SEEDS / name)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds * 2 + 300, check=False)
    found = dict(_STAT.findall(done.stderr))
    covered = _COVERED.findall(done.stderr)
    runs, peak = int(found.get("number_of_executed_units", 0)), found.get("peak_rss_mb", "?")
    edges = covered[-1][0] if covered else "?"
    line = f"{name:<14} {runs:>10,} inputs {runs / max(1.0, time.monotonic() - began):>8,.0f}/s {edges:>6} edges {peak:>5} MB"
    if done.returncode == 0:
        return True, line
    (broken / "output.txt").write_text(done.stdout + done.stderr)
    cause = [text for text in (done.stdout + done.stderr).splitlines() if re.match(r"[\w.]*(Error|Exception|Problem|Group)\b|==\d+== ERROR", text.strip())]
    return False, f"{line}  BROKEN: {cause[0].strip()[:200] if cause else 'see output.txt'} ({broken})"


def keep(name: str, folder: Path) -> int:
    """Add the smallest inputs that reached something new; what is kept stays small."""
    kept = {path.name for path in (SEEDS / name).iterdir()}
    found = sorted((path.stat().st_size, path) for path in (folder / name).iterdir())
    added = 0
    for size, path in found:
        if size <= MAX_KEPT_BYTES and len(kept) < MAX_KEPT and path.name[:12] not in kept:
            (SEEDS / name / path.name[:12]).write_bytes(path.read_bytes())
            kept.add(path.name[:12])
            added += 1
    return added


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m campaigns.fuzz", description="Coverage-guided fuzzing.")
    parser.add_argument("--only", nargs="*", default=list(TARGETS), metavar="TARGET", choices=list(TARGETS), help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, default=ROOT / ".fuzz", help="where inputs are kept from run to run")
    parser.add_argument("--keep", action="store_true", help="add what reached new code to the kept inputs")
    args = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        raise SystemExit("atheris is needed: .venv/bin/python -m pip install --require-hashes -r requirements-fuzz.lock") from None
    broken = 0
    for name in args.only:
        held, line = fuzz(name, args.seconds, args.corpus.absolute())
        broken += not held
        if args.keep:
            line += f"  {keep(name, args.corpus.absolute())} kept"
        print(line, flush=True)
    print(f"{len(args.only)} targets, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
