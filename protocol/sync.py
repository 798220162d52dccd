"""Params and results of the `sync/*` methods. Wire names are the camelCase of the attribute names."""

from __future__ import annotations

from attrs import Factory, frozen


@frozen
class InitParams:
    """`remote`: a git URL or path. `github`: NAME or OWNER/NAME of a private repository that is made with the user's `gh`, or is there and empty;
    "": of the usual name. Neither: an embedded bare repository under the state root.

    `encryption`: aes-256-gcm (the default) or none. `passphrase`: the key can be had by it, too. `key_store`: file or keyring.
    `acknowledge_private`: the user says that strangers cannot read the remote. `move_to`: keep the vault, change its remote;
    `move_to_github`: to a private repository on GitHub, which is made or there as for `github`.
    `adopt`: the remote may be one of opencode-synced, whose files then belong to the vault.
    """

    remote: str | None = None
    github: str | None = None
    encryption: str | None = None
    passphrase: str | None = None
    key_store: str | None = None
    device_name: str | None = None
    move_to: str | None = None
    move_to_github: str | None = None
    adopt: bool = False
    acknowledge_private: bool = False
    work_done_token: str | int | None = None


@frozen
class InitResult:
    """`recovery_key`: shown this once; null when the vault is not encrypted."""

    vault_id: str
    device_id: str
    remote: str
    recovery_key: str | None = None


@frozen
class LinkParams:
    """`remote`: a git URL or path; or `github`: NAME or OWNER/NAME of a repository that the user's `gh` can see.

    `key`: the recovery key of an encrypted vault, or `passphrase`. On a device that is linked already: its new key.
    `dry_run`: say what would be, and stay unlinked.

    The answers to `identityCloned`: `new_device`, this is a copy, which gets an identity of its own; `same_device`, this is the original, restored
    from a backup: it goes on with the log that the remote has. Either way what only this machine has is published anew by the next cycle.
    """

    remote: str | None = None
    key: str | None = None
    passphrase: str | None = None
    key_store: str | None = None
    device_name: str | None = None
    acknowledge_private: bool = False
    new_device: bool = False
    github: str | None = None
    dry_run: bool = False
    work_done_token: str | int | None = None
    same_device: bool = False


@frozen
class FindVaultsParams:
    work_done_token: str | int | None = None


@frozen
class FoundVault:
    """A repository of the user's on GitHub with one of the usual names. `name`: what `sync/link` takes as `github`.

    `visibility`: private, internal or public. `vault`: it holds one; else `sync/init` can take it when it is `empty`, or opencode-synced's.
    """

    name: str
    url: str
    visibility: str
    vault: bool
    empty: bool


@frozen
class FindVaultsResult:
    found: list[FoundVault] = Factory(list)


@frozen
class Device:
    """`last_published`: Unix milliseconds, null when never. `behind`: segments of this device not yet applied here."""

    id: str
    name: str
    platform: str
    last_published: int | None
    behind: int
    this_device: bool
    opencode_version: str | None = None
    clock_ahead_ms: int = 0


@frozen
class SessionChange:
    """`change`: one of in, out, both, deleteIn, deleteOut."""

    id: str
    title: str
    change: str
    rows: int = 0


@frozen
class Attention:
    """Something that waits. `reason`: future, unplaced, quarantined, diverged, busy, parentMissing, guard, secret, identity (two machines
    use one), conflict (a setting that was changed here and elsewhere), config (a file that does not travel)."""

    session_id: str
    reason: str
    detail: str
    title: str = ""
    until: int | None = None


@frozen
class Published:
    sessions: int = 0
    rows: int = 0
    tombstones: int = 0
    bytes: int = 0


@frozen
class Applied:
    sessions: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@frozen
class CycleParams:
    """Params of sync/run, sync/pull, sync/push.

    `deletions` answers the deletion guard's question, whether what vanished here was meant to: `publish` deletes it on all machines,
    `restore` brings it back here from the logs (not with sync/push). `allow_deletions` is an older name of `publish`.
    """

    allow_deletions: bool = False
    work_done_token: str | int | None = None
    deletions: str | None = None


@frozen
class Guarded:
    """What the deletion guard holds back of one session: `rows` are gone here; `whole`: the session itself is among them."""

    session_id: str
    title: str
    rows: int
    whole: bool


@frozen
class CycleResult:
    """What one cycle did. Counts of what waits are totals after the cycle, `secrets` that of sessions held back because of one;
    `warnings` are one-line texts for people, `notices`, too, of what needs nobody: that another device changed the vault's key, say.

    `config`: files of the configuration that came `in` and went `out`, `conflicts` and `problems` that wait, secrets that were `moved`;
    empty while configuration is not synced.
    """

    cycle_id: str
    up_to_date: bool
    published: Published = Published()
    applied: Applied = Applied()
    held: int = 0
    unplaced: int = 0
    diverged: int = 0
    quarantined: int = 0
    pending: int = 0
    guarded: int = 0
    secrets: int = 0
    config: dict[str, int] = Factory(dict)
    session_ids: list[str] = Factory(list)
    refreshable: bool = False
    warnings: list[str] = Factory(list)
    notices: list[str] = Factory(list)


@frozen
class FileChange:
    """A file of the configuration. `change`: in, out, both, deleteIn, deleteOut, conflict. `diff`: what would change here, secrets left out.

    `executable`: opencode could run something that it does not run now (plugins, commands, tools, skills, MCP servers).
    """

    path: str
    change: str
    executable: bool = False
    diff: str = ""


@frozen
class PreviewResult:
    """What a cycle would do now; nothing is changed."""

    cycle_id: str
    up_to_date: bool
    published: Published = Published()
    applied: Applied = Applied()
    held: int = 0
    unplaced: int = 0
    diverged: int = 0
    quarantined: int = 0
    pending: int = 0
    guarded: int = 0
    secrets: int = 0
    config: dict[str, int] = Factory(dict)
    sessions: list[SessionChange] = Factory(list)
    files: list[FileChange] = Factory(list)
    warnings: list[str] = Factory(list)
    guarded_sessions: list[Guarded] = Factory(list)


@frozen
class LinkResult:
    """`encrypted`: false when whoever can read the remote will read everything; a person who expects a key to be asked for must be told."""

    vault_id: str
    device_id: str
    remote: str
    devices: list[Device]
    preview: PreviewResult
    linked: bool = True
    encrypted: bool = True


@frozen
class StatusParams:
    work_done_token: str | int | None = None


@frozen
class LastError:
    kind: str
    message: str
    at: int


@frozen
class KeyChange:
    """Another device changed the vault's key, and this one took it over. `by`: its name; `key_id`: as in the manifest; `at`: Unix ms."""

    by: str
    key_id: str
    at: int


@frozen
class StatusResult:
    configured: bool
    database: str
    vault_id: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    remote: str | None = None
    encryption: str | None = None
    opencode_version: str | None = None
    devices: list[Device] = Factory(list)
    sessions: int = 0
    rows: int = 0
    held: int = 0
    unplaced: int = 0
    diverged: int = 0
    quarantined: int = 0
    pending: int = 0
    guarded: int = 0
    secrets: int = 0
    attention: list[Attention] = Factory(list)
    unsynced_tables: list[str] = Factory(list)
    last_sync: int | None = None
    last_error: LastError | None = None
    vault_bytes: int = 0
    database_bytes: int = 0
    config: dict[str, int] = Factory(dict)
    running: bool = False
    key_changed: KeyChange | None = None
    guarded_sessions: list[Guarded] = Factory(list)


@frozen
class VerifyParams:
    """`offline`: do not talk to the remote."""

    work_done_token: str | int | None = None
    offline: bool = False


@frozen
class Difference:
    """`meaning` and `remedy` are for people. `device`, `sequence`: the segment, where there is one; `table`, `key`: empty where it is no row.

    `kind`, of what was edited here and not synced yet: missing, extra, changed (in the database against what was recorded of it).
    Of the shadow: shadowLost, shadowWrong. Of the logs against what is here: notApplied, unaccounted, deleted. Of the logs themselves:
    segmentMissing, segmentDamaged, segmentUnknown, valueDamaged, logDamaged. Of the remote: remoteMissing, remoteBehind, remoteOther.
    """

    table: str
    key: str
    session_id: str
    kind: str
    columns: list[str] = Factory(list)
    device: str = ""
    sequence: int = 0
    meaning: str = ""
    remedy: str = ""


@frozen
class VerifyResult:
    """`ok`: there is no difference. `differences`: at most 1,000; `unsynced`: how many of all were made here and not synced yet. `waiting`: records
    and rows that are known to wait. `digests`: `database` and `shadow` of this machine's rows, equal when these are; `logs` of the winning
    versions, the same on all machines that have fetched the same. `notes`: what is no difference, for people.
    """

    ok: bool
    rows_compared: int
    differences: list[Difference] = Factory(list)
    waiting: int = 0
    unsynced: int = 0
    segments_checked: int = 0
    records_checked: int = 0
    digests: dict[str, str] = Factory(dict)
    notes: list[str] = Factory(list)


@frozen
class StatusChanged:
    """Params of the notification `sync/didChangeStatus`. `state`: idle, running, failed."""

    state: str
    message: str = ""


@frozen
class DidApply:
    """Params of the notification `sync/didApply`: sessions whose rows changed in the database.

    opencode sends no event for them. `refreshable`: in this version of opencode a rename to the same title moves no time, and
    so may be used to make open windows look again.
    """

    session_ids: list[str]
    refreshable: bool = False
