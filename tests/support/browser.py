"""Real Chromium for tests of the page, driven by playwright-core out of client-shim's locked tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.npm import SHIM

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
MISSING = "Chromium is not installed, so THE PAGE IS NOT TESTED: `apt-get install chromium`"


class Browser:
    """`browser.do("click", page="a", role="button", name="Sync now")`; the commands are those of browser.mjs."""

    def __init__(self) -> None:
        assert CHROMIUM is not None, MISSING
        driver = Path(__file__).with_name("browser.mjs")
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self._process = subprocess.Popen(
            ["node", str(driver), CHROMIUM], cwd=SHIM, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def do(self, command: str, **rest: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **rest}) + "\n")
        line = self._process.stdout.readline()
        assert line, "the browser's driver ended"
        answer = json.loads(line)
        assert "error" not in answer, f"{command} {rest}: {answer['error']}"
        return answer["value"]

    def close(self) -> None:
        self._process.communicate(timeout=30)


class Window:
    """One window of the app."""

    def __init__(self, browser: Browser, page: str) -> None:
        self._browser, self.page = browser, page

    def do(self, command: str, **rest: Any) -> Any:
        return self._browser.do(command, page=self.page, **rest)

    def click(self, name: str, role: str = "button", **rest: Any) -> None:
        self.do("click", role=role, name=name, **rest)

    def tab(self, name: str) -> str:
        """Open a view; its text."""
        self.do("click", role="tab", name=name, exact=False)
        text: str = self.do("view")
        return text

    def shows(self, text: str) -> None:
        self.do("shown", text=text)

    def shot(self, path: Path) -> None:
        self.do("shot", path=str(path))
