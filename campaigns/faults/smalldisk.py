"""`python smalldisk.py FOLDER FREE_KIB OUT COMMAND…` in a mount namespace of its own: run COMMAND with FOLDER on a small disk.

FOLDER's files are copied to a tmpfs that takes its place, with FREE_KIB left (-1: read-only). How COMMAND ends is written to OUT; then
there is room again, COMMAND runs once more and its output and status are ours. What the disk holds in the end comes back to FOLDER.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOMY = "size=1g"


def main(folder: Path, free_kib: int, out: Path, command: list[str]) -> int:
    disk = Path(tempfile.mkdtemp())  # in the namespace only
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", ROOMY, "tmpfs", str(disk))
    shutil.copytree(folder, disk, symlinks=True, dirs_exist_ok=True)
    kept = Path(tempfile.mkdtemp())
    _mount("--bind", str(folder), str(kept))
    _mount("--move", str(disk), str(folder))
    used = os.statvfs(folder).f_blocks - os.statvfs(folder).f_bfree
    room = "remount,ro" if free_kib < 0 else f"remount,size={used * os.statvfs(folder).f_frsize // 1024 + free_kib}k"
    _mount("-o", room, str(folder))
    first = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=200)
    out.write_text(f"{first.returncode}\n{first.stdout}\0{first.stderr}")
    _mount("-o", f"remount,rw,{ROOMY}", str(folder))
    second = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=200)
    for path in kept.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True)
    return second.returncode


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
