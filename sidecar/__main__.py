"""Entry point: `serve` starts the JSON-RPC server, everything else is the command line."""

from __future__ import annotations

import os
import signal
import sys

EXIT_UNUSABLE = 78
"""Tells a host not to restart us."""
EXIT_INTERRUPTED = 130


def main() -> int:
    """The `opencode-sidecar` command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # until the modules that know better are loaded; nothing has begun
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    if sys.version_info < (3, 11):  # noqa: UP036 - a host may start us with whatever Python it finds
        sys.stderr.write("opencode-sidecar needs Python 3.11 or newer\n")
        return EXIT_UNUSABLE
    if sys.argv[1:] == ["--version"]:
        from sidecar.rpc.handshake import NAME, VERSION

        sys.stdout.write(f"{NAME} {VERSION}\n")
        return 0
    if sys.argv[1:] == ["guard"]:  # of the bundle, see sidecar.adapters.process.guard
        from sidecar.adapters.process.tree import guard

        guard()
        return 0
    if sys.argv[1:2] == ["serve"]:
        from sidecar.rpc.serve import serve

        return serve(sys.argv[2:])
    from sidecar.cli import main as cli

    return cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
