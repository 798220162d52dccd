"""The short form of `campaigns/soak`: histories that are new in each of these seeds are not needed here, only that the ways through them stay open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from campaigns.soak.history import History

OPERATIONS = int(os.environ.get("SIDECAR_SOAK", "1200"))


@pytest.mark.parametrize("seed", [300, 302, 305])
def test_every_device_ends_with_the_same_and_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """A failure here is looked into with `python -m campaigns.soak --seed N --histories 1`."""
    history = History(tmp_path, seed, (2, 5), OPERATIONS)
    history.run()
    assert history.done >= OPERATIONS
