"""Params and results of the methods about secrets in transcripts. No value of a secret is in any of them."""

from __future__ import annotations

from attrs import Factory, frozen


@frozen
class SecretsParams:
    """`everything`: look through the whole database now, also at what was published before there was a scan; changes nothing."""

    everything: bool = False
    work_done_token: str | int | None = None


@frozen
class SecretFinding:
    """`path`: the column, and within JSON the way to the text. `fingerprint`: of the value, with a key of this device.

    `state`: published, held, redacted; or seen, when it was found by looking through everything. `title`: of the session,
    empty when the finding is in it. `found_at`: Unix milliseconds.
    """

    session_id: str
    table: str
    key: str
    path: str
    rule: str
    fingerprint: str
    state: str
    title: str = ""
    found_at: int | None = None


@frozen
class SecretsResult:
    """`policy`: warn, hold or redact; `is_default`: nobody chose it, it follows from the vault's encryption."""

    policy: str
    is_default: bool
    findings: list[SecretFinding] = Factory(list)
    allowed_fingerprints: list[str] = Factory(list)
    allowed_rules: list[str] = Factory(list)
    allowed_sessions: list[str] = Factory(list)


@frozen
class AllowSecretParams:
    """Exactly one of `fingerprint`, `rule`, `session`. What is allowed is published as it is. `remove`: not any more."""

    fingerprint: str | None = None
    rule: str | None = None
    session: str | None = None
    remove: bool = False
    work_done_token: str | int | None = None


@frozen
class SecretPolicyParams:
    """`policy`: warn, hold, redact; null for what the vault's encryption suggests."""

    policy: str | None = None
    work_done_token: str | int | None = None
