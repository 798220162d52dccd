"""Half a turn on another machine makes older versions of opencode ask the model for ever."""

from __future__ import annotations

import json

from sidecar.domain.turns import ABANDONED_MS, judge

NOW = 1_790_000_000_000
USER = json.dumps({"role": "user"})
DONE = json.dumps({"role": "assistant", "finish": "stop", "time": {"completed": 1}})
STEP = json.dumps({"role": "assistant", "finish": "tool-calls", "time": {"completed": 1}})
OPEN = json.dumps({"role": "assistant", "time": {"created": 1}})
FAILED = json.dumps({"role": "assistant", "error": {"name": "MessageAbortedError"}})


def index(*messages: str, ago: int = 10_000) -> int | None:
    return judge(messages, [NOW - ago] * len(messages), [], NOW).from_index


def test_a_finished_quiet_turn_may_go() -> None:
    assert index(USER, DONE) is None
    assert index(USER, STEP, DONE) is None
    assert index(USER, FAILED) is None


def test_what_is_being_written_waits_from_its_question_on() -> None:
    assert index(USER, DONE, USER, OPEN) == 2
    assert index(USER, DONE, USER, STEP) == 2, "another step follows a tool call"
    assert index(USER, DONE, USER) == 2, "the answer's row comes a moment later"


def test_a_session_written_to_just_now_waits_as_a_whole() -> None:
    verdict = judge([USER, DONE], [0, 0], [NOW - 1_000], NOW)
    assert (verdict.from_index, verdict.settles_in) == (0, 2_000)


def test_a_turn_whose_process_is_gone_is_published_in_the_end() -> None:
    assert index(USER, DONE, USER, ago=ABANDONED_MS + 1) is None
    assert index(USER, OPEN, ago=ABANDONED_MS + 1) is None


def test_deletions_alone_need_not_wait() -> None:
    assert judge([USER], [0], [], NOW).from_index is None


def test_an_old_question_without_answer_does_not_hold_back_what_changed_around_it() -> None:
    """Its answer was deleted, say: a new title or plan of that session would be missing elsewhere for a quarter of an hour."""
    assert judge([USER], [0], [NOW - 10_000], NOW).from_index is None
    assert judge([USER, DONE, USER], [0, NOW - 10_000, 0], [NOW - 10_000], NOW).from_index is None


def test_rows_that_are_no_json_do_not_stop_the_rest() -> None:
    assert index(USER, DONE, "{", ago=10_000) is None
