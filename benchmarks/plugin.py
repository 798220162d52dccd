"""The plugin's share of opencode's start-up: the real opencode with it, with an empty plugin, and with none, in turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.table import Table, milliseconds
from tests.support.npm import install_packed
from tests.support.opencode.install import opencode
from tests.support.opencode.machine import REPOSITORY, Machine
from tests.support.opencode.mock import MockProvider

VERSION = "1.18.33"
ROUNDS = 15
LIMIT_SECONDS = 0.020


def run(root: Path, table: Table) -> None:
    """A machine in a vault, so that the plugin has all to do that it ever has at a start."""
    table.title(f"opencode {VERSION} with the plugin (baseline: without; from the program's start to the first answer about a folder)")
    provider = MockProvider()
    try:
        machine = Machine(root / "plugin", opencode(VERSION), provider.url)
        machine.make_project()
        machine.start()
        machine.started("A conversation")
        machine.stop()
        machine.sidecar("init")
        machine.extra_environ = {"OPENCODE_SIDECAR_COMMAND": json.dumps([sys.executable, "-m", "sidecar"]), "PYTHONPATH": str(REPOSITORY)}
        empty = root / "empty.js"
        empty.write_text("export default async () => ({});\n")
        ours = install_packed(root / "npm") / "dist/plugin/index.js"
        cases: dict[str, list[str]] = {"none": [], "empty": [empty.as_uri()], "ours": [ours.as_uri()]}
        times: dict[str, list[float]] = {name: [] for name in cases}
        for round_ in range(ROUNDS + 1):
            for name, plugins in cases.items():
                machine.configure(plugin=plugins)
                while (taken := _first_answer(machine)) is None:
                    pass
                if round_:  # the first fills opencode's caches
                    times[name].append(taken)
    finally:
        provider.close()
    median = {name: statistics.median(found) for name, found in times.items()}
    table.row("first answer", milliseconds(median["ours"]), milliseconds(median["none"]), median["ours"] / median["none"], None)
    spread = statistics.quantiles(times["none"], n=4)
    table.note(f"with an empty plugin: {milliseconds(median['empty'])}; half of the rounds without one lie within {milliseconds(spread[2] - spread[0])}")
    held = {url: statistics.median(_held_up(machine, url) for _ in range(ROUNDS)) for url in (ours.as_uri(), empty.as_uri())}
    share, least = held[ours.as_uri()], held[empty.as_uri()]
    bound = f"{'<' if share < LIMIT_SECONDS else 'NOT <'} {LIMIT_SECONDS * 1000:.0f} ms"
    table.row("loading and calling it", milliseconds(share), milliseconds(least), share / least, None, bound=bound)


def _held_up(machine: Machine, url: str) -> float:
    """Seconds, in opencode's own runtime."""
    script = Path(__file__).with_name("plugin.mjs")
    environ = machine.environ | {"BUN_BE_BUN": "1"}
    done = subprocess.run([machine.binary, str(script), url], cwd=machine.app, env=environ, capture_output=True, text=True, timeout=30, check=True)
    return float(done.stdout) / 1000


def _first_answer(machine: Machine) -> float | None:
    """Seconds; None when opencode swallowed the request, which it does now and then with the first."""
    began = time.perf_counter()
    command = [str(machine.binary), "serve", "--port", "0", "--hostname", "127.0.0.1"]
    server = subprocess.Popen(
        command, cwd=machine.app, env=machine.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        url = next(line.split()[-1] for line in server.stdout if "listening" in line)
        request = urllib.request.Request(f"{url}/session", headers={"x-opencode-directory": str(machine.app)})
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()
        return time.perf_counter() - began
    except TimeoutError:
        return None
    finally:
        server.kill()
        server.wait(10)
