"""Params and results of the methods about an encrypted vault's keys. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from attrs import Factory, frozen


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
    """`recovery_key`: the new one. `given_to`: names of the devices that take it over with their next cycle; look at them. `left_out`: names of
    those that need it by `link`, as they never told a public key. `passphrase_gone`: the vault had one, and the new key cannot be had by it.
    """

    recovery_key: str
    key_id: str
    given_to: list[str] = Factory(list)
    left_out: list[str] = Factory(list)
    passphrase_gone: bool = False


@frozen
class ForgetDeviceParams:
    """`device`: an id as in `sync/status`. Rotates the key, so that it cannot read what is written from now on. `passphrase`: see RotateKeyParams."""

    device: str
    passphrase: str | None = None
    work_done_token: str | int | None = None
