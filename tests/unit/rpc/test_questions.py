"""Which questions are asked, and which answers count."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from protocol.common import QuestionParams
from protocol.sync import CycleResult, LinkResult, PreviewResult
from sidecar.app import Sidecar
from sidecar.domain.errors import SidecarError
from sidecar.rpc.questions import COPY, IDENTITY, LATER, Answer, Questions


class Host:
    """Keeps what it is asked, and answers when told to, however late."""

    def __init__(self) -> None:
        self.asked: list[QuestionParams] = []
        self.withdrawn: list[str] = []
        self.begun: list[Answer] = []
        self._answered: list[Callable[[Any], None]] = []
        self.questions = Questions(self._ask, self.withdrawn.append, self.begun.append, _no_sidecar)
        self.questions.possible = True

    def _ask(self, params: QuestionParams, answered: Callable[[Any], None]) -> str:
        self.asked.append(params)
        self._answered.append(answered)
        return f"ask-{len(self.asked)}"

    def says(self, number: int, result: Any) -> None:
        self._answered[number](result)


def _no_sidecar() -> Sidecar:
    raise AssertionError("nothing is to be done yet")


def cloned() -> SidecarError:
    return SidecarError(IDENTITY, "Two machines.")


@pytest.fixture
def host() -> Host:
    return Host()


def test_many_failures_at_once_are_one_question(host: Host) -> None:
    threads = [threading.Thread(target=host.questions.about_error, args=(cloned(),)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [question.kind for question in host.asked] == [IDENTITY]


@pytest.mark.parametrize("nonsense", [None, {}, {"title": LATER}, {"title": "yes"}, {"title": [COPY]}, {"title": {}}, [COPY], COPY, 7, True])
def test_only_an_answer_is_an_answer(host: Host, nonsense: Any) -> None:
    host.questions.about_error(cloned())
    host.says(0, nonsense)
    host.questions.about_error(cloned())
    assert (len(host.asked), host.begun, host.withdrawn) == (1, [], [])


@pytest.mark.parametrize(
    ("method", "result"), [("sync/run", CycleResult("c", up_to_date=True)), ("sync/link", LinkResult("v", "d", "r", [], PreviewResult("c", up_to_date=True)))]
)
def test_what_has_settled_is_withdrawn_and_asked_again_when_it_comes_back(host: Host, method: str, result: Any) -> None:
    host.questions.about_error(cloned())
    host.questions.about("sync/pull", CycleResult("c", up_to_date=True))
    assert host.withdrawn == [], "a pull says nothing of the remote's log of this device"
    host.questions.about(method, result)
    assert host.withdrawn == ["ask-1"]
    host.says(0, {"title": COPY})
    assert host.begun == [], "a late answer gives up an identity that is in order"
    host.questions.about_error(cloned())
    host.says(1, {"title": COPY})
    assert (len(host.asked), [answer.kind for answer in host.begun]) == (2, [IDENTITY])


def test_an_answer_that_failed_is_asked_again(host: Host) -> None:
    host.questions.about_error(cloned())
    host.says(0, {"title": COPY})
    host.questions.about_error(cloned())
    assert len(host.asked) == 1, "it is being carried out"
    host.questions.reopen(IDENTITY)
    host.questions.about_error(cloned())
    assert len(host.asked) == 2


def test_other_failures_and_other_hosts_are_not_asked_about(host: Host) -> None:
    host.questions.about_error(SidecarError("remoteUnreachable", "No."))
    host.questions.about_error(ValueError(IDENTITY))
    host.questions.possible = False
    host.questions.about_error(cloned())
    assert host.asked == []
