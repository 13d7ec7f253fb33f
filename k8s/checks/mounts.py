"""What a path inside a container is: which mount it lies under, which key of what object."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from k8s.checks.manifests import Checked, Manifests, Raw, Template


def mount_of(template: Template, path: str) -> Raw | None:
    """The longest mount of a pod's first container that a path lies under; /tmp is nobody's."""
    wanted = PurePosixPath(path)
    mounts = [
        mount
        for mount in template.containers[0].get("volumeMounts", [])
        if wanted.is_relative_to(mount["mountPath"]) and mount["mountPath"] != "/tmp"
    ]
    return max(mounts, key=lambda mount: len(mount["mountPath"]), default=None)


def keys_of(manifests: Manifests, kind: str, name: str) -> list[str] | None:
    """Keys of a Secret or ConfigMap, others' secrets too; None if there is none of that name."""
    found = manifests.named(kind, name)
    if found is not None:
        return [*(found.get("data") or {}), *(found.get("stringData") or {})]
    return manifests.external.get(name) if kind == "Secret" else None


def check_key(
    manifests: Manifests, pod: Template, mount: Raw, path: str, where: tuple[str, str],
    checked: Checked,
) -> None:  # fmt: skip
    """A file below a mounted Secret or ConfigMap is one of its keys."""
    volume: dict[str, Any] = next(
        (each for each in pod.spec.get("volumes", []) if each["name"] == mount["name"]), {}
    )
    file = str(PurePosixPath(path).relative_to(mount["mountPath"]))
    for kind, source in (
        ("Secret", volume.get("secret", {}).get("secretName")),
        ("ConfigMap", volume.get("configMap", {}).get("name")),
    ):
        keys = keys_of(manifests, kind, source) if source else [file]
        if file not in (keys or []):
            known = ", ".join(sorted(keys or [])) or "none"
            checked.add(*where, f"{kind} {source} has no key {file}", f"it has {known}")
