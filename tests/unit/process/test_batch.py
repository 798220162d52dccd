"""What cmd.exe would read as a command never gets there."""

from __future__ import annotations

import pytest

from sidecar.adapters.process.batch import is_batch, problem


@pytest.mark.parametrize("program", [r"C:\tools\npm.cmd", r"C:\a b\X.BAT", "run.Cmd", "run.bat ", "run.cmd."])
def test_batch_files_are_known_by_their_suffix(program: str) -> None:
    assert is_batch(program)
    assert problem(program, [program, "install", "left pad", "--a=b", "é"], windows=True) is None


@pytest.mark.parametrize("program", [r"C:\tools\git.exe", "cmd", "bat", r"C:\x.cmd\tool.exe"])
def test_programs_get_every_argument(program: str) -> None:
    assert problem(program, [program, "a&calc"], windows=True) is None


@pytest.mark.parametrize("argument", ["a&calc", '"&calc&"', "%PATH%", "a|b", "a^b", "<x", ">x", "!x!", "a\nb", "a\rb"])
def test_what_cmd_would_run_is_refused_and_said(argument: str) -> None:
    said = problem("x.cmd", ["x.cmd", "fine", argument], windows=True)
    assert said is not None, "cmd.exe would have run a part of an argument as a command"
    assert "cmd.exe" in said


def test_other_systems_have_no_batch_files() -> None:
    assert problem("x.cmd", ["x.cmd", "a&b"], windows=False) is None
