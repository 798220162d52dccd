"""THE method table: the registry, `initialize`, the JSON Schema, the TypeScript types and docs/protocol.md come from it."""

from __future__ import annotations

from typing import Final

from protocol import common, compact, config, keys, secrets, shell, sync, trust
from protocol.model import Method

NULL: Final = type(None)

_RUN = "One cycle. A second call while one runs joins it."
METHODS: Final[tuple[Method, ...]] = (
    Method(
        "initialize",
        "request",
        "toServer",
        common.InitializeParams,
        common.InitializeResult,
        doc="LSP's handshake; `capabilities.experimental.opencodeSidecar` is ours.",
    ),
    Method("initialized", "notification", "toServer", common.NoParams, doc="The host is ready."),
    Method("shutdown", "request", "toServer", common.NoParams, NULL, doc="Stop what runs; only `exit` is accepted afterwards."),
    Method("exit", "notification", "toServer", common.NoParams, doc="End: status 0 after `shutdown`, else 1."),
    Method("$/cancelRequest", "notification", "toServer", common.CancelParams, doc="Stop a request; its answer is error -32800 once it has unwound."),
    Method(
        "window/workDoneProgress/cancel",
        "notification",
        "toServer",
        common.TokenParams,
        doc="Stop the request that was given this `workDoneToken`.",
    ),
    Method("sync/init", "request", "toServer", sync.InitParams, sync.InitResult, True, True, doc="Make a new vault."),
    Method("sync/link", "request", "toServer", sync.LinkParams, sync.LinkResult, True, True, doc="Join an existing vault; changes nothing in the database."),
    Method("sync/run", "request", "toServer", sync.CycleParams, sync.CycleResult, True, True, doc=_RUN),
    Method("sync/pull", "request", "toServer", sync.CycleParams, sync.CycleResult, True, True, doc="Record local changes, fetch, merge, apply."),
    Method(
        "sync/push",
        "request",
        "toServer",
        sync.CycleParams,
        sync.CycleResult,
        True,
        True,
        doc="Record and publish, confirmed by the remote.",
    ),
    Method("sync/status", "request", "toServer", sync.StatusParams, sync.StatusResult, True, False, True, doc="What is known here; never waits for a cycle."),
    Method("sync/preview", "request", "toServer", sync.CycleParams, sync.PreviewResult, True, True, True, doc="What a cycle would do now."),
    Method("sync/verify", "request", "toServer", sync.VerifyParams, sync.VerifyResult, True, True, True, doc="Compare the database with what was recorded."),
    Method("sync/history", "request", "toServer", trust.HistoryParams, trust.HistoryResult, True, False, True, doc="Past cycles and what they changed here."),
    Method("sync/restore", "request", "toServer", trust.RestoreParams, trust.RestoreResult, True, True, doc="Take back what a cycle changed or deleted here."),
    Method("sync/doctor", "request", "toServer", trust.DoctorParams, trust.DoctorResult, True, True, True, doc="Check everything that sync depends on."),
    Method(
        "sync/repair",
        "request",
        "toServer",
        trust.RepairParams,
        trust.RepairResult,
        True,
        True,
        doc="Rebuild what is ours from the database and the vault, or copy what can be read of a damaged database.",
    ),
    Method(
        "sync/compact",
        "request",
        "toServer",
        compact.CompactParams,
        compact.CompactResult,
        True,
        True,
        doc="Rewrite this device's own log with what still matters of it, under the current key.",
    ),
    Method("sync/showKey", "request", "toServer", keys.ShowKeyParams, keys.ShowKeyResult, True, doc="The recovery key of this device's vault."),
    Method("sync/rotateKey", "request", "toServer", keys.RotateKeyParams, keys.RotateKeyResult, True, True, doc="Seal with a new key from now on."),
    Method(
        "sync/forgetDevice",
        "request",
        "toServer",
        keys.ForgetDeviceParams,
        keys.RotateKeyResult,
        True,
        True,
        doc="Rotate the key, and read nothing more of a device.",
    ),
    Method("sync/secrets", "request", "toServer", secrets.SecretsParams, secrets.SecretsResult, True, True, True, doc="Possible secrets in transcripts."),
    Method(
        "sync/allowSecret",
        "request",
        "toServer",
        secrets.AllowSecretParams,
        secrets.SecretsResult,
        True,
        False,
        True,
        doc="Publish what was found as it is from the next cycle on, or not any more.",
    ),
    Method(
        "sync/setSecretPolicy",
        "request",
        "toServer",
        secrets.SecretPolicyParams,
        secrets.SecretsResult,
        True,
        False,
        True,
        doc="What happens to records with possible secrets.",
    ),
    Method("sync/resolve", "request", "toServer", config.ResolveParams, config.ResolveResult, True, doc="List or settle what was changed here and elsewhere."),
    Method("config/get", "request", "toServer", common.NoParams, config.ConfigResult, False, False, True, doc="Our settings."),
    Method("config/set", "request", "toServer", config.ConfigSetParams, config.ConfigResult, doc="Change our settings; comments in their file stay."),
    Method("shell/exec", "request", "toServer", shell.ExecParams, shell.ExecResult, True, doc="Run a command to its end."),
    Method("shell/start", "request", "toServer", shell.StartParams, shell.StartResult, doc="Start a command; its output comes while it runs."),
    Method("shell/write", "request", "toServer", shell.WriteParams, NULL, doc="Write to a command's stdin; answered when it was taken."),
    Method("shell/closeStdin", "request", "toServer", shell.ProcessParams, NULL, doc="End a command's stdin."),
    Method("shell/kill", "request", "toServer", shell.KillParams, NULL, doc="End a command and what it started; `shell/didExit` tells when."),
    Method("shell/ack", "request", "toServer", shell.AckParams, NULL, doc="So many bytes of output have been dealt with: more may come."),
    Method("shell/which", "request", "toServer", shell.WhichParams, shell.WhichResult, True, False, True, doc="Where a command is."),
    Method("shell/env", "request", "toServer", common.NoParams, shell.EnvResult, True, False, True, doc="The sidecar's own environment."),
    Method("$/progress", "notification", "toClient", common.ProgressParams, doc="WorkDoneProgress for a `workDoneToken` given in params."),
    Method("window/showMessage", "notification", "toClient", common.MessageParams, doc="A toast: one when work takes long, one that says what happened."),
    Method("window/logMessage", "notification", "toClient", common.MessageParams, doc="A line for the host's log."),
    Method("sync/didChangeStatus", "notification", "toClient", sync.StatusChanged, doc="A cycle began, ended or failed."),
    Method("shell/didOutput", "notification", "toClient", shell.DidOutput, doc="Output of a started command."),
    Method("shell/didExit", "notification", "toClient", shell.DidExit, doc="A started command has ended."),
    Method("sync/didApply", "notification", "toClient", sync.DidApply, doc="Sessions whose rows changed in the database."),
)
BY_NAME: Final = {method.name: method for method in METHODS}


def served() -> list[str]:
    """Names of the requests that a host may send."""
    return [method.name for method in METHODS if method.direction == "toServer" and method.kind == "request"]
