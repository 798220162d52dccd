"""A bad day, in both runtimes: a sidecar that is not well, commands that cannot be, readers that do not read. Each is a typed error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import SIDECAR
from tests.support.machines import Machine
from tests.support.npm import build
from tests.support.runtimes import RUNTIMES, runtime

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts, and the commands POSIX's")
BYTES = int(os.environ.get("SIDECAR_STREAM_BYTES", "100000000"))
"""How much goes through a slow reader; 1000000000 takes half a minute."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled package without a bundle beside it."""
    made, folder = build(), tmp_path_factory.mktemp("package")
    shutil.copytree(made / "dist", folder / "dist")
    shutil.copy(made / "package.json", folder)
    (folder / "node_modules").symlink_to(made / "node_modules")
    return folder / "dist/index.js"


def run(name: str, script: str, package: Path, folder: Path, *arguments: str, **extra: str) -> dict[str, Any]:
    program, needed = runtime(name)
    environ = {**Machine(folder / "m").environ, "PYTHONPATH": str(ROOT), **needed, **extra}
    done = subprocess.run(
        [program, str(HERE / script), str(package), *arguments, *SIDECAR], env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module", params=RUNTIMES)
def seen(request: pytest.FixtureRequest, package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(request.param, "awkward.mjs", package, tmp_path_factory.mktemp("awkward"))


@pytest.mark.parametrize("mode", ["garbage", "no-json", "endless", "huge"])
def test_what_is_not_the_protocol_ends_the_connection_at_once(seen: dict[str, Any], mode: str) -> None:
    assert seen[mode]["type"] == "gone"
    assert "it wrote" in seen[mode]["message"], "nobody learns what the program printed"
    assert seen[mode]["quick"], "the host waits for the end of a header that never comes"


@pytest.mark.parametrize("mode", ["older", "refusing", "stranger"])
def test_another_version_is_named(seen: dict[str, Any], mode: str) -> None:
    assert (seen[mode]["type"], seen[mode]["kind"]) == ("error", "unsupported")
    assert "protocol" in seen[mode]["message"]
    assert seen[mode]["remedy"]


def test_a_sidecar_that_hangs_at_the_start_is_given_up(seen: dict[str, Any]) -> None:
    assert seen["silent"]["type"] == "gone"
    assert "no answer to initialize" in seen["silent"]["message"]


def test_a_sidecar_that_begins_to_babble_is_replaced(seen: dict[str, Any]) -> None:
    assert seen["babbles"]["first"] == 1
    assert seen["babbles"]["second"]["type"] == "gone"
    assert "Traceback" in seen["babbles"]["second"]["message"]
    assert seen["babbles"]["after"] == 1, "the next call starts a new one"


@pytest.mark.parametrize("call", [1, 5])
def test_T40_a_sidecar_that_dies_says_so(seen: dict[str, Any], call: int) -> None:  # noqa: N802
    found = seen[f"dies{call}"]
    assert found["good"]
    assert found["last"]["type"] == "gone"
    assert found["signal"] == "SIGKILL"
    assert found["shell"]["type"] == "gone", "`$` would tell of a command that failed, though nothing was run"


def test_a_flood_of_progress_arrives_in_order_and_the_host_goes_on(seen: dict[str, Any]) -> None:
    assert (seen["floods"]["answer"], seen["floods"]["all"], seen["floods"]["ordered"]) == (1, True, True)
    assert seen["floods"]["longestWaitMs"] < 1000, "the host's window froze"


def test_a_missing_or_old_python_is_one_clear_error(seen: dict[str, Any]) -> None:
    for case in ("nothing", "oldPython", "barePython", "missingShell"):
        assert seen[case]["type"] == "notFound"
        assert seen[case]["remedy"]
        assert "uv tool install" in seen[case]["message"], "the command that helps"
        assert "bundled beside the package: not there" in seen[case]["message"], "what was tried"
    assert "is Python 3.9.2, 3.11 or newer is needed" in seen["oldPython"]["message"]
    assert "is Python 3.12.1 without the package" in seen["barePython"]["message"]


@pytest.mark.parametrize(
    ("case", "kind"), [("notFound", "commandNotFound"), ("cwd", "cwdMissing"), ("env", "invalidParams"), ("nul", "invalidParams"), ("long", "argumentsTooLong")]
)
def test_commands_that_cannot_be_have_a_kind(seen: dict[str, Any], case: str, kind: str) -> None:
    assert (seen["exec"][case]["type"], seen["exec"][case]["kind"]) == ("error", kind)
    assert seen["exec"][case]["remedy"]


def test_the_shell_says_it_as_buns_does(seen: dict[str, Any]) -> None:
    shell = seen["shell"]
    assert (shell["notFound"]["shellError"], shell["notFound"]["stderr"]) == (True, "bun: command not found: no-such-command-here\n")
    assert (shell["cwd"]["name"], shell["cwd"]["code"]) == ("Error", "ENOENT")
    assert (shell["nul"]["name"], shell["nul"]["code"]) == ("TypeError", "ERR_INVALID_ARG_VALUE")
    assert shell["long"]["stderr"].startswith("bun: Argument list too long"), "ten megabytes of argument overflow the stack"
    assert (shell["killed"]["shellError"], shell["killed"]["exitCode"]) == (True, 137)
    assert shell["env"] == "5"


def test_killed_commands_and_bytes_that_are_no_text(seen: dict[str, Any]) -> None:
    assert seen["killed"] == {"exitCode": None, "signal": "SIGKILL"}
    assert seen["notUtf8"]
    assert seen["shell"]["bytes"], "output was changed on its way"
    assert seen["shell"]["text"]


def test_a_command_whose_sidecar_died_rejects_with_that(seen: dict[str, Any]) -> None:
    assert seen["lost"]["type"] == "gone"
    assert seen["wellAfterwards"] == "well"


def test_several_listeners_get_what_they_asked_for(seen: dict[str, Any]) -> None:
    assert seen["both"] == {"text": "one\ntwo\n", "noted": "one\ntwo\n"}, "a second shell takes the output away from the first"


def test_a_host_that_never_reads_costs_little_and_holds_nothing(seen: dict[str, Any]) -> None:
    assert seen["neverReads"]["runs"]
    assert seen["neverReads"]["peakKb"] < 250_000
    assert seen["neverReads"]["endedMs"] is not None, "the sidecar stays when its host has gone"
    assert seen["neverReads"]["endedMs"] < 8000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", RUNTIMES)
def test_much_output_through_a_slow_reader_stays_within_bounds(name: str, package: Path, tmp_path: Path) -> None:
    found = run(name, "streaming.mjs", package, tmp_path, str(BYTES), SCRATCH=str(tmp_path / "scratch"))
    assert found["taken"], "bytes were lost on the way"
    assert found["exit"]["exitCode"] == 0
    assert found["piped"], "bytes were lost in a pipe"
    assert found["sidecarGrewKb"] < 80_000, "output piles up in the sidecar"
    assert found["hostGrewKb"] < 150_000, "output piles up in the host"
    assert found["inMemory"], "bytes were changed on the way"
