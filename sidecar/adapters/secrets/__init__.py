"""The scanner for secrets in what is about to be published. detect-secrets is imported here only."""

from sidecar.adapters.secrets.finder import find, look, may_have

__all__ = ["find", "look", "may_have"]
