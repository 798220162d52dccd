"""A person at a terminal."""

from __future__ import annotations

import os
import select
import subprocess
import time

from tests.support.command import SIDECAR
from tests.support.machines import Machine


def at_terminal(machine: Machine, arguments: list[str], answers: dict[str, str], timeout: float = 60) -> tuple[int, str]:
    """Exit status, and all that was on the screen, after each question was answered. POSIX only."""
    person, screen = os.openpty()
    process = subprocess.Popen([*SIDECAR, *arguments], stdin=screen, stdout=screen, stderr=screen, env=machine.environ | {"TERM": "xterm", "COLUMNS": "160"})
    os.close(screen)
    seen, deadline, left = "", time.monotonic() + timeout, dict(answers)
    try:
        while time.monotonic() < deadline:
            if select.select([person], [], [], 0.1)[0]:
                try:
                    seen += os.read(person, 1 << 16).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
            for question in [question for question in left if question in seen]:
                os.write(person, left.pop(question).encode())
        return process.wait(max(1.0, deadline - time.monotonic())), seen
    finally:
        process.kill()
        process.wait()
        os.close(person)
