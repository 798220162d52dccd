"""GitHub through the user's own `gh`, whose login we use and never see."""

from sidecar.adapters.github.gh import Gh, Repository
from sidecar.adapters.github.names import RepositoryName, host_of, parse_name, repository_of

__all__ = ["Gh", "Repository", "RepositoryName", "host_of", "parse_name", "repository_of"]
