"""Which local project a session belongs to."""

from __future__ import annotations

import pytest

from sidecar.domain.identity import LocalProject, ProjectIdentity, normalise_origin, resolve

HERE = [
    LocalProject("global", "/", ProjectIdentity(("global",))),
    LocalProject("fork", "/code/fork", ProjectIdentity(("fork",), "git.example/me/app", ("r00t",))),
    LocalProject("upstream", "/code/app", ProjectIdentity(("upstream", "older-id"), "git.example/team/app", ("r00t",))),
    LocalProject("plain", "/code/plain", ProjectIdentity(("plain",), None, ("c0ffee",))),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ProjectIdentity(("other",), "git.example/team/app", ("r00t",)), "upstream"),
        (ProjectIdentity(("other",), "git.example/me/app", ("r00t",)), "fork"),
        (ProjectIdentity(("older-id",)), "upstream"),
        (ProjectIdentity(("c0ffee",)), "plain"),
        (ProjectIdentity(("x",), None, ("c0ffee",)), "plain"),
        (ProjectIdentity(("global",)), "global"),
        (ProjectIdentity(("x",), "git.example/who/else"), None),
        (ProjectIdentity(()), None),
    ],
)
def test_the_remote_decides_before_old_ids_and_those_before_commits(wanted: ProjectIdentity, found: str | None) -> None:
    project = resolve(wanted, HERE)
    assert (project.id if project else None) == found, "a session in the wrong project, or in none"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://user:pw@Git.Example:8443/team/app.git", "git.example/team/app"),
        ("git@git.example:team/app.git", "git.example/team/app"),
        ("ssh://git@git.example/team/app/", "git.example/team/app"),
        ("/srv/app.git", None),
        ("file:///srv/app.git", None),
        ("C:/code/app", None),
    ],
)
def test_one_remote_has_one_name_however_it_is_written(url: str, normal: str | None) -> None:
    assert normalise_origin(url) == normal
