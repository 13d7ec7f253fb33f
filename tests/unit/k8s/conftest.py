"""The real overlays, rendered once; a test plants its mistake in a copy."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.checks import kustomize
from k8s.checks.__main__ import BESIDE
from k8s.checks.manifests import OVERLAYS, Manifests, load

Service = dict[str, Any]


@pytest.fixture(scope="session")
def binary() -> Path:
    """kustomize; built once a checkout, which takes Go and a minute."""
    try:
        return kustomize.install()
    except kustomize.NoKustomize as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rendered(binary: Path) -> dict[str, Manifests]:
    schema = BESIDE if BESIDE.exists() else None
    return {
        name: load(OVERLAYS / name, kustomize.render(binary, OVERLAYS / name), schema)
        for name in kustomize.overlays()
    }


@pytest.fixture
def prod(rendered: dict[str, Manifests]) -> Manifests:
    """The overlay for clusters, to plant a mistake in."""
    return deepcopy(rendered["prod"])


@pytest.fixture
def service(prod: Manifests) -> Service:
    """Its RayService."""
    return prod.ray_services[0]


@pytest.fixture
def serve_config(service: Service) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes the Serve config within the RayService."""

    def change(plant: Callable[[dict[str, Any]], object]) -> None:
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        plant(config)
        service["spec"]["serveConfigV2"] = yaml.safe_dump(config)

    return change
