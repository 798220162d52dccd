"""The short form of `campaigns/load`, but for the day with a real opencode."""

from __future__ import annotations

from pathlib import Path

from campaigns.load.report import Report
from campaigns.load.shared import one_data_directory
from campaigns.load.streams import many_sidecars, one_connection


def _whole(report: Report) -> None:
    report.show()
    assert not report.broken, report.broken


def test_streams_of_requests_over_one_connection(tmp_path: Path) -> None:
    _whole(one_connection(tmp_path, seconds=3, streams=50))


def test_sidecars_that_start_together_on_one_data_directory(tmp_path: Path) -> None:
    _whole(many_sidecars(tmp_path, count=6))


def test_sidecars_that_sync_one_data_directory_without_a_pause(tmp_path: Path) -> None:
    _whole(one_data_directory(tmp_path, seconds=4, sidecars=4))
