"""Build the self-contained bundle for this platform: a folder with the program, its interpreter and its libraries, all compiled.

`python scripts/bundle.py [--into FOLDER]`; by default it goes to where the npm package looks for it, client-shim/bundle/<platform>-<arch>/.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "opencode-sidecar"
_PLATFORMS = {"linux": "linux", "darwin": "darwin", "win32": "win32"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def target() -> str:
    """This platform as Node calls it."""
    machine = platform.machine().lower()
    return f"{_PLATFORMS.get(sys.platform, sys.platform)}-{_MACHINES.get(machine, machine)}"


def build(into: Path) -> Path:
    """Returns the program. What is in `into` is replaced only by a bundle that starts."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as temporary:
        work = Path(temporary)
        command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"]
        command += ["--distpath", str(work / "dist"), "--workpath", str(work / "work"), str(ROOT / "scripts/bundle.spec")]
        subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        made = work / "dist" / NAME
        program = NAME + (".exe" if sys.platform == "win32" else "")
        said = subprocess.run([made / program, "--version"], capture_output=True, text=True, check=False, env={})
        if said.returncode != 0:
            raise SystemExit(f"the bundle does not start: {said.stderr.strip()}")
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(into, ignore_errors=True)
        shutil.move(made, into)
    return into / program


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the self-contained bundle for this platform.")
    parser.add_argument("--into", type=Path, default=ROOT / "client-shim/bundle" / target(), help="the folder to make")
    program = build(parser.parse_args().into.resolve())
    size = sum(file.stat().st_size for file in program.parent.rglob("*") if file.is_file() and not file.is_symlink())
    sys.stdout.write(f"{program} ({size / 1e6:.0f} MB)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
