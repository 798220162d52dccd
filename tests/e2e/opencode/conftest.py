"""Everything here drives the real opencode binary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.opencode.fleet import Fleet
from tests.support.opencode.machine import Machine

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.opencode)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two machines with opencode 1.18.33, linked, both servers running all the while."""
    with Fleet(tmp_path_factory.mktemp("pair"), {"a": "1.18.33", "b": "1.18.33"}) as fleet:
        yield fleet


@pytest.fixture
def a(pair: Fleet) -> Machine:
    return pair.machines[0]


@pytest.fixture
def b(pair: Fleet) -> Machine:
    return pair.machines[1]
