"""The short form of `python -m campaigns.fuzz`: every kept input, and some that Hypothesis makes up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SLOW, TARGETS

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "40"))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_was_kept_breaks_it(name: str) -> None:
    inputs = sorted((CORPUS / name).glob("*"))
    assert inputs, "no inputs are kept for this target"
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.relative_to(CORPUS)}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_it(name: str) -> None:
    @settings(max_examples=2 if name in SLOW else EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(st.binary(max_size=600))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
