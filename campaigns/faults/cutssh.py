"""What git starts in place of ssh: runs the remote's command here, hands through so many bytes of one direction, and dies.

`python cutssh.py COMMAND-WAY BYTES …`: COMMAND is upload or receive; WAY is up (to the remote) or down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def main() -> int:
    (what, way), limit, command = sys.argv[1].split("-"), int(sys.argv[2]), sys.argv[-1]
    mine = f"git-{what}-pack" in command
    process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    up = threading.Thread(target=_hand, args=(0, process.stdin.fileno(), limit if mine and way == "up" else None, process), daemon=True)
    up.start()
    _hand(process.stdout.fileno(), 1, limit if mine and way == "down" else None, process)
    return process.wait()


def _hand(source: int, target: int, limit: int | None, process: subprocess.Popen[bytes]) -> None:
    passed = 0
    while chunk := os.read(source, 1 << 16):
        if limit is not None and passed + len(chunk) > limit:
            os.write(target, chunk[: limit - passed])
            sys.stderr.write("Connection closed by remote host\n")
            sys.stderr.flush()
            process.stdin and process.stdin.close()
            process.kill()
            os._exit(255)
        passed += len(chunk)
        os.write(target, chunk)
    if target != 1:
        os.close(target)


if __name__ == "__main__":
    sys.exit(main())
