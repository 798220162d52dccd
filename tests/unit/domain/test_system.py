"""What the system refuses is told as that, and what is a mistake of ours is not hidden behind it."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from sidecar.domain.system import refused


def test_a_thread_that_cannot_be_started_is_the_systems_refusal() -> None:
    error = refused(RuntimeError("can't start new thread"), "/state")
    assert (error.kind, error.detail) == ("systemError", "/state")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_python_still_says_it_in_these_words() -> None:
    """With an address space that has no room for the stack of a thread."""
    code = (
        "import resource, threading\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), used + (1 << 20)))\n"
        "try:\n    threading.Thread(target=print).start()\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "can't start new thread\n"


def test_other_mistakes_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="dictionary changed"):
        refused(RuntimeError("dictionary changed size during iteration"), "/state")


def test_a_full_disk_and_a_lack_of_memory_have_words_of_their_own() -> None:
    assert refused(OSError(errno.ENOSPC, "No space left on device"), "/state").kind == "diskFull"
    assert refused(MemoryError(), "/state").message == "There is not enough memory."
