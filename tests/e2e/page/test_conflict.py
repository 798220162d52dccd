"""A setting that was changed on two machines is settled in the panel."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, MISSING, Browser, Window
from tests.support.host import Host, install_host
from tests.support.machines import Machine

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.skipif(os.name != "posix", reason="uses signals")]


def test_a_person_chooses_between_two_values(machine: Callable[..., Machine], remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    a.cli("init", str(remote), "--encryption", "none")
    b.cli("link", str(remote))
    files = [one.root / "config/opencode/opencode.json" for one in (a, b)]
    for one, file, model in zip((a, b), files, ("x/a", "x/<b>b</b>"), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name("opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
        file.write_text(json.dumps({"model": model}))
        one.cli("sync", expect=(0, 3))
    host, browser = Host(install_host(tmp_path / "app"), b), Browser()
    try:
        window = Window(browser, "b")
        window.do("open", url=host.url)
        window.shows("waits for you")
        shown = window.tab("Attention")
        assert "Settings changed on two machines" in shown
        assert '"x/a"' in shown
        assert '"x/<b>b</b>"' in shown
        window.shot(Path(os.environ.get("SIDECAR_SHOTS") or tmp_path) / "conflict.png")
        window.do("click", role="button", name="Take theirs", exact=False)
        window.shows("Settled")
        assert json.loads(files[1].read_text())["model"] == "x/a"
        window.do("shown", text="waits for you", gone=True)
        assert browser.do("troubles") == []
    finally:
        browser.close()
        host.stop()
