"""Asking GitHub through `gh`: what a repository is, making one, listing the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sidecar.adapters.git.errors import without_credentials
from sidecar.adapters.git.urls import check_remote_url
from sidecar.adapters.github.names import RepositoryName, parse_name
from sidecar.adapters.process.run import Finished, run
from sidecar.adapters.process.spawn import which
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

ASK_SECONDS = 20.0
"""gh asks one or two questions of the network; what takes longer waits for somebody who is not there."""
DESCRIPTION = "Sessions and settings of opencode, kept by opencode-sidecar"
MAX_LISTED = 1000
_MAX_BYTES = 4 << 20
_FIELDS = "nameWithOwner,isPrivate,isInOrganization,isEmpty,sshUrl"
_DROPPED = frozenset({"GH_REPO", "GH_DEBUG", "DEBUG", "GH_FORCE_TTY", "CLICOLOR_FORCE", "GH_PROMPT_DISABLED", "NODE_OPTIONS", "LD_PRELOAD"})
_ABSENT = r"could not resolve to a repository|http 404"
_URL_REMEDY = "Or create an empty private repository in a browser, and give its URL."
_RULES = (
    (r"gh auth login|http 401|bad credentials|authentication", "authFailed", "gh is not logged in to GitHub.", f"Run `gh auth login`. {_URL_REMEDY}"),
    (r"rate limit", "remoteUnreachable", "GitHub has been asked too often for now.", "Try again later."),
    (
        r"cannot create a repository|http 40[34]|forbidden|not accessible|must have|saml|insufficient",
        "authFailed",
        "GitHub does not let you do that there.",
        "Check the owner's name and your rights, and what your token may do (`gh auth status`).",
    ),
)


@dataclass(frozen=True, slots=True)
class Repository:
    """`visibility`: private, internal (all members of an enterprise can read it) or public."""

    name: RepositoryName
    visibility: str
    empty: bool
    url: str


class Gh:
    """The user's gh on one host. Every call is a process or two with a time limit."""

    def __init__(self, environ: Mapping[str, str], host: str, folder: str) -> None:
        """`folder`: where it runs; no git repository, so that nothing depends on where we were started."""
        self._environ = {name: value for name, value in environ.items() if name not in _DROPPED and not name.startswith("GIT_")}
        self._environ |= {"GH_HOST": host, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "LC_ALL": "C"}
        self._user_environ, self._host, self._folder = environ, host, folder

    @property
    def found(self) -> bool:
        return which("gh", None, self._environ) is not None

    def complete(self, name: RepositoryName, task: Task) -> RepositoryName:
        """With the logged-in user as the owner when none is given. Raises authFailed."""
        if name.owner:
            return name
        login = self._text(self._run(task, "api", "user", "--jq", ".login")).strip()
        try:
            return replace(parse_name(f"{login}/{name.name}", self._user_environ), host=self._host)
        except SidecarError:
            raise _garbage() from None

    def view(self, name: RepositoryName, task: Task) -> Repository | None:
        """None when there is none, or none that this user may see."""
        done = self._run(task, "repo", "view", name.full, "--json", _FIELDS, absent=_ABSENT)
        return None if done is None else self._repository(name, self._json(done), task)

    def visibility(self, name: RepositoryName, task: Task) -> str | None:
        """private, internal or public; None when this user cannot see such a repository."""
        done = self._run(task, "repo", "view", name.full, "--json", "isPrivate,isInOrganization", absent=_ABSENT)
        return None if done is None else self._visibility(name, self._json(done), task)

    def create(self, name: RepositoryName, task: Task) -> None:
        """A private repository. Raises authFailed; conflict when it is there already."""
        if self._run(task, "repo", "create", name.full, "--private", "--description", DESCRIPTION, absent="name already exists") is None:
            raise SidecarError(
                "conflict",
                "A repository of this name was made just now, or is one that you may not see.",
                detail=name.full,
                remedy="Run the command again, or take another name.",
            )

    def has_file(self, name: RepositoryName, path: str, task: Task) -> bool:
        """Whether the default branch has it."""
        return self._run(task, "api", f"repos/{name.full}/contents/{path}", "--jq", ".path", absent="http 404") is not None

    def mine(self, task: Task) -> list[Repository]:
        """The user's own repositories, those of organisations left out."""
        listed = self._json(self._run(task, "repo", "list", "--limit", str(MAX_LISTED), "--json", _FIELDS))
        if not isinstance(listed, list):
            raise _garbage()
        return [self._repository(None, value, task) for value in listed]

    # --- answers ------------------------------------------------------------------------------------------------------
    def _repository(self, asked: RepositoryName | None, value: Any, task: Task) -> Repository:
        try:
            name = replace(parse_name(value["nameWithOwner"], self._user_environ), host=self._host)
            empty, ssh = bool(value["isEmpty"]), str(value["sshUrl"])
            _ = value["nameWithOwner"].index("/")
        except (KeyError, TypeError, ValueError, AttributeError, SidecarError):
            raise _garbage() from None
        return Repository(name, self._visibility(asked or name, value, task), empty, self._address(name, ssh, task))

    def _visibility(self, name: RepositoryName, value: Any, task: Task) -> str:
        private = value.get("isPrivate") if isinstance(value, dict) else None
        if not isinstance(private, bool):
            raise _garbage()
        if not private:
            return "public"
        if value.get("isInOrganization"):  # GitHub calls internal ones private, too
            said = self._text(self._run(task, "api", f"repos/{name.full}", "--jq", ".visibility")).strip()
            return "internal" if said == "internal" else "private"
        return "private"

    def _address(self, name: RepositoryName, ssh: str, task: Task) -> str:
        """What git gets: over ssh when the user told gh so, else https."""
        if self._protocol(task) == "ssh":
            url = check_remote_url(ssh)
            if url.kind == "ssh":
                return url.url
        return f"https://{self._host}/{name.full}.git"

    _said_protocol: str | None = None

    def _protocol(self, task: Task) -> str:
        if self._said_protocol is None:
            done = self._run(task, "config", "get", "git_protocol", "--host", self._host, absent=".")
            self._said_protocol = self._text(done).strip() if done is not None else ""
        return self._said_protocol

    def _json(self, done: Finished | None) -> Any:
        try:
            return json.loads(self._text(done))
        except (ValueError, RecursionError):
            raise _garbage() from None

    @staticmethod
    def _text(done: Finished | None) -> str:
        return bytes(done.stdout.data).decode("utf-8", "replace") if done is not None else ""

    def _run(self, task: Task, *arguments: str, absent: str | None = None) -> Finished | None:
        """None when it failed with words that match `absent`. Raises commandNotFound, authFailed, remoteUnreachable."""
        if not self.found:
            raise SidecarError(
                "commandNotFound",
                "GitHub's command line, gh, is not installed.",
                detail="gh",
                remedy=f"Install it from https://cli.github.com and run `gh auth login`. {_URL_REMEDY}",
            )
        done = run(["gh", *arguments], self._folder, self._environ, task, timeout=ASK_SECONDS, limit=_MAX_BYTES)
        if done.timed_out:
            raise SidecarError(
                "remoteUnreachable",
                f"gh did not answer within {ASK_SECONDS:.0f} seconds.",
                detail=f"gh {arguments[0]} {arguments[1]}",
                remedy="Check that `gh auth status` answers in a terminal without asking anything.",
            )
        if done.exit_code == 0:
            return done
        said = bytes(done.stderr.data).decode("utf-8", "replace")
        if absent is not None and re.search(absent, said, re.IGNORECASE):
            return None
        raise _failed(said)


def _failed(said: str) -> SidecarError:
    detail = "gh: " + without_credentials(" ".join(said.split()))[:300]
    for pattern, kind, message, remedy in _RULES:
        if re.search(pattern, said, re.IGNORECASE):
            return SidecarError(kind, message, detail=detail, remedy=remedy)
    return SidecarError("remoteUnreachable", "GitHub cannot be asked.", detail=detail, remedy=f"Check the network and try again. {_URL_REMEDY}")


def _garbage() -> SidecarError:
    return SidecarError("unsupported", "gh answered something that cannot be understood.", remedy=f"Update gh, or give the repository's URL. {_URL_REMEDY}")
