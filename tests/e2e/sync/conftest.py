"""Vaults to compact."""

from __future__ import annotations

import pytest

from tests.support.prepared import Prepared
from tests.support.worn import Vault

Vaults = Prepared[Vault]


@pytest.fixture(scope="module")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> Vaults:
    return Prepared(tmp_path_factory.mktemp("vaults"), Vault)


@pytest.fixture(params=["none", "aes-256-gcm"])
def either(vaults: Vaults, request: pytest.FixtureRequest) -> Vault:
    return vaults.fresh(request.param)


@pytest.fixture
def vault(vaults: Vaults) -> Vault:
    return vaults.fresh("aes-256-gcm")
