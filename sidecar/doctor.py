"""Checks of everything that sync depends on, each with a remedy. Nothing here changes anything."""

from __future__ import annotations

from protocol.trust import DoctorResult
from sidecar.doctor_machine import MachineChecks
from sidecar.doctor_vault import VaultChecks


class Doctor(MachineChecks, VaultChecks):
    """All checks."""

    def run(self) -> DoctorResult:
        steps = [
            *(self.git, self.opencode, self.database, self.integrity, self.wal, self.channels, self.desktop),
            *(self.disk, self.folder, self.leftovers, self.lock_file, self.own_files, self.config, self.device),
        ]
        if self.identity is not None:
            steps += [self.key, self.vault_copy, self.inside, self.secrets] + ([] if self.offline else [self.remote, self.privacy])
        for index, step in enumerate(steps):
            self.task.report("doctor", index, len(steps))
            with self.finding(step.__name__):
                step()
        return DoctorResult(all(check.ok for check in self.checks), self.checks)
