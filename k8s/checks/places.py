"""What the worker groups of a RayService offer to replicas."""

from __future__ import annotations

import json
from dataclasses import dataclass

from k8s.checks.manifests import Raw, groups


@dataclass(frozen=True, slots=True)
class Group:
    """A worker group: pods at least and at most, cores and resources of one pod."""

    name: str
    path: str
    least: int
    most: int
    cpus: float
    resources: dict[str, float]
    image_target: str


def groups_of(service: Raw) -> list[Group]:
    """The groups on which replicas may run; the head offers nothing."""
    return [_group(name, path, raw) for name, path, raw in groups(service) if name != "head"]


def cores(quantity: str | float) -> float:
    """A CPU quantity of Kubernetes.

    >>> cores("250m"), cores("2"), cores(1.5)
    (0.25, 2.0, 1.5)
    """
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _group(name: str, path: str, raw: Raw) -> Group:
    containers = raw.get("template", {}).get("spec", {}).get("containers") or [{}]
    parameters = raw.get("rayStartParams") or {}
    limit = containers[0].get("resources", {}).get("limits", {}).get("cpu", 0)
    # KubeRay hands the string to a shell, which is why it is quoted twice.
    resources = json.loads(str(parameters.get("resources", "{}")).strip("'\"").replace('\\"', '"'))
    return Group(
        name=name,
        path=path,
        least=int(raw.get("minReplicas", 0)),
        most=int(raw.get("maxReplicas", 0)),
        # Ray counts whole cores of what the container may use.
        cpus=float(parameters.get("num-cpus") or int(-(-cores(limit) // 1))),
        resources={str(key): float(value) for key, value in resources.items()},
        image_target=str(containers[0].get("image", "")).partition("@")[0].rsplit(":", 1)[0],
    )
