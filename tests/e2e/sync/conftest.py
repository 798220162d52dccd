"""Vaults to compact."""

from __future__ import annotations

import pytest

from tests.support.worn import Vault, Vaults


@pytest.fixture(scope="module")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> Vaults:
    return Vaults(tmp_path_factory.mktemp("vaults"))


@pytest.fixture(params=["none", "aes-256-gcm"])
def either(vaults: Vaults, request: pytest.FixtureRequest) -> Vault:
    return vaults.fresh(request.param)


@pytest.fixture
def vault(vaults: Vaults) -> Vault:
    return vaults.fresh("aes-256-gcm")
