"""One file under two names: what it is here and in the vault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.config_pairs import PAIRS, spell

PAIR = PAIRS[0]
JSON, JSONC = PAIR
SOME = st.sets(st.sampled_from(PAIR))


@pytest.mark.parametrize(
    ("here", "there", "known", "stands", "names", "moved"),
    [
        ({JSON}, {JSONC}, set(), {}, {JSONC: JSON}, None),
        ({JSON}, {JSONC}, {JSONC}, {JSONC: JSON}, {JSONC: JSON}, None),
        ({JSONC}, {JSONC}, {JSONC}, {JSONC: JSON}, {JSONC: JSONC}, None),
        ({JSON}, set(), set(), {}, {JSON: JSON}, None),
        ({JSON}, set(), {JSONC}, {JSONC: JSON}, {JSONC: JSON}, None),
        ({JSONC}, {JSON}, {JSONC}, {}, {JSON: JSONC}, (JSONC, JSON)),
        ({JSON}, {JSON}, {JSONC}, {JSONC: JSON}, {JSON: JSON}, (JSONC, JSON)),
        ({JSON, JSONC}, {JSON}, {JSON}, {}, {JSON: JSON, JSONC: JSONC}, None),
        ({JSON}, {JSON, JSONC}, {JSON}, {}, {JSON: JSON, JSONC: JSONC}, None),
        ({JSON}, {JSON, JSONC}, {JSON, JSONC}, {}, {JSON: JSON, JSONC: JSONC}, None),
        (set(), {JSONC}, {JSONC}, {JSONC: JSON}, {JSON: JSON, JSONC: JSONC}, None),
        ({JSON, JSONC}, {JSON}, {JSONC}, {JSONC: JSON}, {JSON: JSON, JSONC: JSONC}, (JSONC, JSON)),
    ],
    ids=[
        "met for the first time",
        "and again",
        "renamed here to what the vault has",
        "pushed for the first time",
        "deleted elsewhere",
        "renamed elsewhere",
        "renamed elsewhere to what it is here",
        "both here",
        "both in the vault",
        "one of both deleted here",
        "deleted here",
        "renamed elsewhere, and a second one here",
    ],
)
def test_what_stands_for_what(
    here: set[str], there: set[str], known: set[str], stands: dict[str, str], names: dict[str, str], moved: tuple[str, str] | None
) -> None:
    found = spell(PAIR, here, there, known, stands)
    assert (dict(found.names), found.moved, found.problems) == (names, moved, [])


@pytest.mark.parametrize(("here", "there", "named"), [({JSON}, {JSON, JSONC}, JSON), ({JSON, JSONC}, {JSONC}, JSONC), ({JSON, JSONC}, set(), JSONC)])
def test_a_second_file_beside_one_under_another_name_is_left_alone_and_named(here: set[str], there: set[str], named: str) -> None:
    found = spell(PAIR, here, there, {JSONC}, {JSONC: JSON})
    assert found.names == {JSONC: JSON}, "what the vault has would be taken for deleted, or for another file"
    assert [path for path, _ in found.problems] == [named]


@given(SOME, SOME, SOME, st.sampled_from([{}, {JSON: JSONC}, {JSONC: JSON}]))
def test_no_file_is_two_and_none_is_taken_for_deleted(here: set[str], there: set[str], known: set[str], stands: dict[str, str]) -> None:
    found = spell(PAIR, here, there, known, stands)
    assert len(set(found.names.values())) == len(found.names), "one file here would be two in the vault"
    assert (here | there) <= {*found.names, *found.names.values(), *(path for path, _ in found.problems)}, "a file is in no plan, and nobody is told"
    if len(here) == 1:
        gone = [path for path, name in found.names.items() if path in there and name not in here]
        assert len(there) == 2 or not gone, "a file under another name counts as deleted"
