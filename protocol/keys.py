"""Params and results of the methods about an encrypted vault's keys. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from attrs import frozen


@frozen
class ShowKeyParams:
    """`confirm`: the user has been asked, and nobody looks over their shoulder."""

    confirm: bool = False


@frozen
class ShowKeyResult:
    recovery_key: str


@frozen
class RotateKeyParams:
    """`passphrase`: the new key can be had by it, too; null: by the recovery key alone."""

    passphrase: str | None = None
    work_done_token: str | int | None = None


@frozen
class RotateKeyResult:
    """`recovery_key`: the new one. The other devices need it: `link` there again."""

    recovery_key: str
    key_id: str


@frozen
class ForgetDeviceParams:
    """`device`: an id as in `sync/status`. Rotates the key, so that it cannot read what is written from now on."""

    device: str
    work_done_token: str | int | None = None
