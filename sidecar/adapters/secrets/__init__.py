"""The scanner for secrets in what is about to be published."""

from sidecar.adapters.secrets.finder import find, look, may_have

__all__ = ["find", "look", "may_have"]
