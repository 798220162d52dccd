"""The JavaScript runtimes that the package must work in. opencode's own binary is a Bun: it runs scripts when BUN_BE_BUN is set."""

from __future__ import annotations

import shutil

from tests.support.opencode.install import opencode

RUNTIMES = ("node", "bun")


def runtime(name: str) -> tuple[str, dict[str, str]]:
    """(program, what it needs in its environment)."""
    if name == "bun":
        return str(opencode("1.18.33")), {"BUN_BE_BUN": "1"}
    found = shutil.which(name)
    assert found is not None, f"{name} is needed"
    return found, {}
