"""Everything that knows git."""

from sidecar.adapters.git.project import describe_checkout
from sidecar.adapters.git.repo import VaultRepo, git_version
from sidecar.adapters.git.trees import TreeEntry
from sidecar.adapters.git.urls import RemoteUrl, check_remote_url

__all__ = ["RemoteUrl", "TreeEntry", "VaultRepo", "check_remote_url", "describe_checkout", "git_version"]
