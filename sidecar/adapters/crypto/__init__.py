"""End-to-end encryption of what is pushed. The format is described byte for byte in docs/format.md."""

from sidecar.adapters.crypto.boxes import DeviceKey
from sidecar.adapters.crypto.keys import ALGORITHM, KeyRing, VaultKey
from sidecar.adapters.crypto.sealing import Sealer

__all__ = ["ALGORITHM", "DeviceKey", "KeyRing", "Sealer", "VaultKey"]
