"""Where mistakes are planted, and what is found of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from k8s.checks.__main__ import GROUPS
from k8s.checks.manifests import Manifests

Raw = dict[str, Any]
Change = Callable[[Callable[[Raw], object]], None]


def findings(manifests: Manifests, group: str) -> list[str]:
    return [str(finding) for finding in GROUPS[group](manifests).findings]


def the(manifests: Manifests, kind: str, name: str) -> Raw:
    found = manifests.named(kind, name)
    assert found is not None
    return found


def args(config: Raw) -> Raw:
    found: Raw = config["applications"][0]["args"]
    return found


def container(service: Raw, group: int) -> Raw:
    spec = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][group]["template"]["spec"]
    found: Raw = spec["containers"][0]
    return found
