"""Where the bundle begins. What its launcher left in the environment is for the launcher: git, ssh and commands of the host must not see it."""

import os
import sys

for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH"):
    before = os.environ.pop(f"{name}_ORIG", None)
    if before is not None:
        os.environ[name] = before
    elif os.environ.get(name) == getattr(sys, "_MEIPASS", None):
        del os.environ[name]
for name in [name for name in os.environ if name.startswith("_PYI_")]:
    del os.environ[name]

if sys.argv[1:2] == ["-m"] and sys.argv[2:3] and sys.argv[2].split(".")[0] == "sidecar":
    import runpy

    del sys.argv[1]  # the demonstration starts parts of the program as an interpreter would
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
    sys.exit(0)

from sidecar.__main__ import main  # noqa: E402 - what it imports may look at the environment

sys.exit(main())
