"""Where an operation dies that changes more than a task's checks let see: before or after one of the calls that change something."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from sidecar.adapters.git import VaultRepo
from sidecar.adapters.sqlite.shadow import Shadow
from tests.support.invariants import Crash

STEPS = (
    (VaultRepo, "commit"), (VaultRepo, "replace"), (VaultRepo, "forget_ref"), (VaultRepo, "push"), (VaultRepo, "put_behind"), (VaultRepo, "prune"),
    (Shadow, "put"), (Shadow, "replace_log"), (Shadow, "put_device"),
)  # fmt: skip


@contextmanager
def death(chance: random.Random) -> Iterator[str]:
    """Inside, the process dies at one of the first calls of one of these; says which. Perhaps it does not come so far."""
    (owner, name), left, late = chance.choice(STEPS), chance.choice((1, 1, 2, 3)), chance.random() < 0.5
    real = getattr(owner, name)

    def dies(*arguments: object, **options: object) -> object:
        nonlocal left
        left -= 1
        if left or not late:
            if not left:
                raise Crash
            return real(*arguments, **options)
        real(*arguments, **options)
        raise Crash

    with patch.object(owner, name, dies):
        yield f"{name} {left}{' late' if late else ''}"
