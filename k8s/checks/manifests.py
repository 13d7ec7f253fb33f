"""Rendered manifests as the checks see them, and what a check hands back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "k8s" / "overlays"
#: Beside an overlay's kustomization: what somebody else puts into the namespace.
EXTERNAL = "external.yaml"

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: in which object, at which field, what is wrong and how to mend it."""

    object: str
    field: str
    what: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.object} {self.field}".rstrip()
        return f"{where}: {self.what}; {self.fix}"


@dataclass(slots=True)
class Checked:
    """What one group of checks looked at, in words, and what it found."""

    what: str = ""
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, where: str, path: str, what: str, fix: str) -> None:
        self.findings.append(Finding(where, path, what, fix))


@dataclass(frozen=True, slots=True)
class Template:
    """Pods that an object makes: ``owner`` as ``Kind/name``, ``path`` of the template in it.

    ``group`` is the worker group of a RayService, ``head`` for its head, else empty.
    """

    owner: str
    path: str
    labels: dict[str, str]
    spec: Raw
    group: str = ""

    @property
    def containers(self) -> list[Raw]:
        return [*self.spec.get("containers", [])]

    @property
    def every_container(self) -> Iterator[tuple[str, Raw]]:
        """Init containers too, each with its path."""
        for kind in ("initContainers", "containers"):
            for index, container in enumerate(self.spec.get(kind, [])):
                yield f"{self.path}.spec.{kind}[{index}]", container


@dataclass(frozen=True, slots=True)
class Manifests:
    """One overlay's objects. ``external`` holds the keys of secrets that others provide."""

    overlay: str
    objects: list[Raw]
    external: dict[str, list[str]] = field(default_factory=dict)
    schema: Path | None = None

    def of(self, kind: str) -> list[Raw]:
        return [each for each in self.objects if each.get("kind") == kind]

    def named(self, kind: str, name: str) -> Raw | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    @property
    def ray_services(self) -> list[Raw]:
        return self.of("RayService")

    @property
    def templates(self) -> list[Template]:
        return [template for each in self.objects for template in templates(each)]


def name_of(each: Raw) -> str:
    return f"{each.get('kind', '?')}/{each.get('metadata', {}).get('name', '?')}"


def load(folder: Path, rendered: str, schema: Path | None = None) -> Manifests:
    """Objects of an overlay's rendered folder, in the order kustomize wrote them."""
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    external: dict[str, list[str]] = {}
    path = folder / EXTERNAL
    if path.exists():
        external = yaml.safe_load(path.read_text()).get("secrets", {})
    return Manifests(folder.name, objects, external, schema)


def groups(service: Raw) -> Iterator[tuple[str, str, Raw]]:
    """Name, path and spec of the head and of every worker group of a RayService."""
    cluster = service.get("spec", {}).get("rayClusterConfig", {})
    base = "spec.rayClusterConfig"
    if "headGroupSpec" in cluster:
        yield "head", f"{base}.headGroupSpec", cluster["headGroupSpec"]
    for index, group in enumerate(cluster.get("workerGroupSpecs", [])):
        yield group.get("groupName", "?"), f"{base}.workerGroupSpecs[{index}]", group


def templates(each: Raw) -> Iterator[Template]:
    """The pod templates of an object of any kind that has some."""
    if each.get("kind") == "RayService":
        for name, path, group in groups(each):
            yield _template(each, f"{path}.template", group.get("template", {}), name)
        return
    spec, path = each.get("spec", {}), "spec"
    if each.get("kind") == "CronJob":
        spec, path = spec.get("jobTemplate", {}).get("spec", {}), "spec.jobTemplate.spec"
    if isinstance(spec, Mapping) and "template" in spec:
        yield _template(each, f"{path}.template", spec["template"])


def _template(each: Raw, path: str, template: Raw, group: str = "") -> Template:
    labels = template.get("metadata", {}).get("labels", {})
    return Template(name_of(each), path, labels, template.get("spec", {}), group)


def environment(manifests: Manifests, container: Raw) -> dict[str, str]:
    """Literal variables of a container: those of its ConfigMaps, then its own."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        config = manifests.named("ConfigMap", source.get("configMapRef", {}).get("name", ""))
        found |= (config or {}).get("data", {})
    return found | {
        each["name"]: each["value"] for each in container.get("env", []) if "value" in each
    }


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector, or a Service's plain one, takes these labels."""
    if "matchExpressions" in selector:
        raise NotImplementedError("matchExpressions: say it with matchLabels")
    wanted = selector.get("matchLabels", selector)
    return all(labels.get(key) == value for key, value in wanted.items())


def declared_ports(templates_: Iterable[Template]) -> tuple[set[str], set[int]]:
    """Names and numbers of the ports that the containers of some pods declare."""
    ports = [
        port
        for template in templates_
        for container in template.containers
        for port in container.get("ports", [])
    ]
    names = {str(port["name"]) for port in ports if "name" in port}
    return names, {int(port["containerPort"]) for port in ports}
