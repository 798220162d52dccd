"""`python -m benchmarks.secrets`: what the scan for secrets finds on the labelled corpus, and what it costs beside SHA-256 of the same bytes.

`--held-out CLONE…`: what it finds of that which other scanners test themselves with. `--alarms PATH…`: what it reports in databases and folders of your own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sqlite3
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from benchmarks import data, held_out
from benchmarks.table import Table, seconds
from protocol.sync import CycleParams, InitParams
from sidecar.adapters.secrets import find, look, may_have
from sidecar.domain.secrets import Decisions
from sidecar.domain.task import Task
from sidecar.services.secrets import Finder
from sidecar.services.workspace import SecretTools
from tests.support.machines import FIXTURES, Machine, bare_remote, unpack_fixture
from tests.support.planted import lines, samples

NOT_SOUGHT = {"chosen": "words that a person chose", "unnamed": "random text that nothing says is a secret"}
LEFT_OUT = {
    "keyword": ("KeywordDetector",),
    "high_entropy_strings": ("Base64HighEntropyString", "HexHighEntropyString"),
    "ip_public": ("IPPublicDetector",),
    "artifactory": ("ArtifactoryDetector",),
    "ibm_cloud_iam": ("IbmCloudIamDetector",),
    "ibm_cos_hmac": ("IbmCosHmacDetector",),
    "cloudant": ("CloudantDetector",),
    "softlayer": ("SoftlayerDetector",),
    "private_key": ("PrivateKeyDetector",),
}
"""Plugins of detect-secrets that are not used."""
CODE_BYTES = 12 << 20
MAX_FILE = 1 << 20
TABLES = ("session", "message", "part", "todo")
REPEATS = 7
FIRST_SESSIONS, FIRST_REPEATS = 150, 3


def transcripts() -> list[str]:
    """Every text of the databases in tests/fixtures, which opencode itself wrote."""
    texts = []
    with tempfile.TemporaryDirectory() as folder:
        for archive in sorted(FIXTURES.glob("*.db.zst")):
            path = Path(folder) / archive.stem
            unpack_fixture(archive.name.removesuffix(".db.zst"), path)
            texts += texts_of(path)
    return texts


def texts_of(database: Path) -> list[str]:
    with closing(sqlite3.connect(database.absolute().as_uri() + "?mode=ro", uri=True)) as db:
        return [value for table in TABLES for row in db.execute(f"SELECT * FROM {table}") for value in row if isinstance(value, str)]


def alarms(paths: list[Path]) -> None:
    """By rule and file, without the values: nobody's secrets belong on a screen."""
    files, size, found = 0, 0, Counter[tuple[str, Path]]()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file() or (file.suffix != ".db" and (file.stat().st_size > MAX_FILE or b"\0" in file.read_bytes())):
                continue
            texts = texts_of(file) if file.suffix == ".db" else [file.read_text(encoding="utf-8", errors="replace")]
            files, size = files + 1, size + sum(map(len, texts))
            found.update((rule, file) for text in texts for *_, rule in find(text))
    for (rule, file), count in found.most_common():
        print(f"{count:>5} {rule:<14} {file}")
    print(f"{sum(found.values())} in {files} files, {size / 1e6:.1f} MB")


def code() -> list[str]:
    """Sources of Python's library as the output of a tool that read them."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if size > CODE_BYTES or "site-packages" in path.parts or "test" in path.parts or "tests" in path.parts:
            continue
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
        size += len(texts[-1])
    return texts


def quality() -> None:
    counts: dict[str, Counter[str]] = {"all": Counter(), "found": Counter()}
    for sample in samples(each=20):
        counts["all"][sample.rule] += 1
        counts["found"][sample.rule] += any(sample.value in sample.text[start:end] for start, end, _ in find(sample.text))
    sought = [rule for rule in counts["all"] if rule not in NOT_SOUGHT]
    for title, rules in (("keys with a form of their own", [r for r in sought if r != "assigned"]), ("random values given to a telling name", ["assigned"])):
        found, known = sum(counts["found"][r] for r in rules), sum(counts["all"][r] for r in rules)
        print(f"recall, {title}: {found} of {known} ({found / known:.2%})")
    print("less than all of:", {r: f"{counts['found'][r] / counts['all'][r]:.1%}" for r in sought if counts["found"][r] < counts["all"][r]})
    for rule, title in NOT_SOUGHT.items():
        print(f"not sought, {title}: {counts['found'][rule]} of {counts['all'][rule]}")
    true = sum(counts["found"][rule] for rule in sought)
    for title, texts in (("look-alikes", [line["text"] for line in lines("harmless")]), ("transcripts", transcripts()), ("Python's library", code())):
        wrong = Counter(rule for text in texts for *_, rule in find(text))
        size = sum(map(len, texts)) / 1e6
        print(f"false alarms in {title}: {sum(wrong.values())} in {len(texts)} texts, {size:.1f} MB {dict(wrong) or ''}")
        true_rate = true / (true + sum(wrong.values()))
        print(f"  precision with the corpus's {true} finds: {true_rate:.2%}")


def left_out() -> None:
    """What the plugins that are not used would report, line by line as they are meant to be used."""
    print("\nplugins left out, and their alarms in the same texts (there is no secret in them)")
    texts = [*transcripts(), *code(), *(line["text"] for line in lines("harmless"))]
    pieces = [line for text in texts for line in text.replace("\\n", "\n").splitlines() if len(line) < 4000]
    for module, names in LEFT_OUT.items():
        for name in names:
            plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
            alarms = sum(
                1
                for line in pieces
                for value in plugin.analyze_string(line)
                if not hasattr(plugin, "calculate_shannon_entropy") or plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
            )
            print(f"  {name:<26}{alarms:>7}")


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def run(table: Table) -> None:
    """The whole scan as a cycle does it, of texts with nothing in them, which is what it costs everybody."""
    table.title("Looking for secrets, per MB; baseline: SHA-256 of the same bytes")
    finder = Finder(SecretTools(look, find, lambda _: Decisions(b""), lambda _: None), lambda: None)
    for title, texts in (("transcripts", transcripts()), ("code as tool output", [json.dumps({"output": text}, ensure_ascii=False) for text in code()])):
        rows = [(number, {"data": text}) for number, text in enumerate(texts)]
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        size = sum(map(len, encoded)) / 1e6
        ours = best(partial(_scan, finder, rows))
        base = best(partial(_hash, encoded))
        said = f"{size / ours:.0f} MB/s, {ours / base:.0f} times SHA-256"
        table.row(title, f"{ours / size * 1000:.1f} ms", f"{base / size * 1000:.1f} ms", base / ours, None, bound=said)
        table.note(f"{sum(map(may_have, texts))} of {len(texts)} texts need a closer look")


def first_publish(table: Table) -> None:
    """All of a database at once: the most that the scan ever costs. Baseline: the same without it."""
    table.title("First publish with and without looking for secrets")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data.make(root / "x.db", root, sessions=FIRST_SESSIONS, projects=4)
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * FIRST_REPEATS):
            scanned = number % 2 == 0
            machine = Machine(root / str(number))
            shutil.copy(root / "x.db", machine.db)
            machine.sidecar.init(InitParams(str(bare_remote(root / f"{number}.git")), encryption="none"), Task())
            with nullcontext() if scanned else patch("sidecar.adapters.secrets.look", lambda _text, _check: False):
                start = time.perf_counter()
                machine.sidecar.push(CycleParams(), Task())
                times[scanned].append(time.perf_counter() - start)
        ours, base = min(times[True]), min(times[False])
        size = (root / "x.db").stat().st_size / 1e6
        table.row(f"database of {size:.0f} MB", seconds(ours), seconds(base), base / ours, None, bound=f"{(ours - base) / size * 1000:.0f} ms per MB")


def _scan(finder: Finder, rows: list[tuple[int, dict[str, str]]]) -> None:
    for number, hits in finder.rows(rows):
        print(f"  ! {number}: {[hit.span[2] for hit in hits]}")


def _hash(items: list[bytes]) -> None:
    for item in items:
        hashlib.sha256(item).digest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secrets")
    parser.add_argument("--held-out", nargs="+", type=Path, metavar="CLONE", help="clones of gitleaks, detect-secrets, secretlint, trufflehog")
    parser.add_argument("--alarms", nargs="+", type=Path, metavar="PATH", help="opencode databases (*.db), files and folders")
    given = parser.parse_args()
    if given.held_out:
        held_out.measure(given.held_out)
    if given.alarms:
        alarms(given.alarms)
    if not given.held_out and not given.alarms:
        quality()
        left_out()
        run(Table())
        first_publish(Table())
