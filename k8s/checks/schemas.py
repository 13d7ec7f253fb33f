"""Every object against the schema of its kind: no unknown field, no wrong type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate

from k8s.checks.manifests import Checked, Manifests, Raw, name_of, templates

#: The oldest Kubernetes we support; what it knows, its successors know too.
KUBERNETES = "1.34"

#: Fields of custom resources by the path of their object, for what no schema at hand covers.
#: A name ending in [] is a list of objects. KubeRay 1.7, Prometheus operator 0.95.
FIELDS: dict[str, dict[str, set[str]]] = {
    "ray.io/v1 RayService": {
        "spec": {
            "excludeHeadPodFromServeSvc", "managedBy", "rayClusterConfig",
            "rayClusterDeletionDelaySeconds", "serveConfigV2", "serveService", "suspend",
            "upgradeStrategy",
        },
        "spec.upgradeStrategy": {"clusterUpgradeOptions", "type"},
        "spec.rayClusterConfig": {
            "authOptions", "autoscalerOptions", "enableInTreeAutoscaling",
            "gcsFaultToleranceOptions", "headGroupSpec", "headServiceAnnotations", "managedBy",
            "networkPolicy", "rayVersion", "suspend", "tlsOptions", "upgradeStrategy",
            "workerGroupSpecs", "historyServerOptions",
        },
        "spec.rayClusterConfig.authOptions": {"enableK8sTokenAuth", "mode", "secretName"},
        "spec.rayClusterConfig.autoscalerOptions": {
            "args", "command", "env", "envFrom", "idleTimeoutSeconds", "image", "imagePullPolicy",
            "resources", "securityContext", "upscalingMode", "version", "volumeMounts",
        },
        "spec.rayClusterConfig.gcsFaultToleranceOptions": {
            "backend", "externalStorageNamespace", "redisAddress", "redisPassword",
            "redisUsername", "storage",
        },
        "spec.rayClusterConfig.headGroupSpec": {
            "enableIngress", "headService", "ingressOptions", "labels", "rayStartParams",
            "resources", "serviceType", "template",
        },
        "spec.rayClusterConfig.workerGroupSpecs[]": {
            "groupName", "idleTimeoutSeconds", "labels", "maxReplicas", "minReplicas",
            "numOfHosts", "priority", "rayStartParams", "replicas", "resources", "scaleStrategy",
            "suspend", "template",
        },
    },
    "monitoring.coreos.com/v1 PodMonitor": {
        "spec": {
            "attachMetadata", "jobLabel", "namespaceSelector", "podMetricsEndpoints",
            "podTargetLabels", "sampleLimit", "selector", "targetLimit",
        },
        "spec.podMetricsEndpoints[]": {
            "authorization", "basicAuth", "filterRunning", "followRedirects", "honorLabels",
            "honorTimestamps", "interval", "metricRelabelings", "params", "path", "port",
            "portNumber", "relabelings", "scheme", "scrapeTimeout", "tlsConfig",
        },
    },
    "monitoring.coreos.com/v1 PrometheusRule": {
        "spec": {"groups"},
        "spec.groups[]": {
            "interval", "labels", "limit", "name", "partial_response_strategy", "query_offset",
            "rules",
        },
        "spec.groups[].rules[]": {
            "alert", "annotations", "expr", "for", "keep_firing_for", "labels", "record",
        },
    },
}  # fmt: skip


def check(manifests: Manifests) -> Checked:
    """Built-in kinds and pod templates strictly, RayService by its schema when that is there."""
    checked = Checked()
    pods = 0
    for each in manifests.objects:
        _check_object(manifests, each, checked)
        if each["kind"] != "RayService":
            continue
        for template in templates(each):
            pods += 1
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": template.labels},
                   "spec": template.spec}  # fmt: skip
            _check_builtin(pod, checked, template.owner, f"{template.path}.")
    checked.what = (
        f"{len(manifests.objects)} objects and {pods} Ray pod templates, Kubernetes {KUBERNETES}"
    )
    if manifests.schema is not None:
        checked.what += ", RayService schema"
    else:
        checked.skipped.append("RayService against KubeRay's schema: name it with --schema")
    return checked


def _check_object(manifests: Manifests, each: Raw, checked: Checked) -> None:
    kind = f"{each.get('apiVersion')} {each.get('kind')}"
    if kind not in FIELDS:
        _check_builtin(each, checked, name_of(each))
        return
    for path, known in FIELDS[kind].items():
        for found, fields in _at(each, path):
            for name in sorted(set(fields) - known):
                fix = f"expected one of {', '.join(sorted(known))}"
                checked.add(name_of(each), f"{found}.{name}", "no such field", fix)
    if kind.endswith(" RayService") and manifests.schema is not None:
        schema = json.loads(manifests.schema.read_text())
        _close(schema["properties"]["spec"])
        for error in jsonschema.Draft202012Validator(schema).iter_errors(each):
            checked.add(name_of(each), _path(error.absolute_path), error.message, "see the schema")


def _check_builtin(each: Raw, checked: Checked, owner: str, prefix: str = "") -> None:
    try:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        what = f"no schema known for {each.get('apiVersion')} {each.get('kind')}"
        checked.add(owner, "apiVersion", what, "correct it, or add its fields to k8s/checks")
    except kubernetes_validate.ValidationError as error:
        path = prefix + _path(error.absolute_path)
        checked.add(owner, path, error.message[:300], f"see the API of Kubernetes {KUBERNETES}")


def _at(each: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    """Every object at a path, with the path at which it was found."""
    found: list[tuple[str, Any]] = [("", each)]
    for part in path.split("."):
        name, many = part.removesuffix("[]"), part.endswith("[]")
        inside = [(f"{at}.{name}".lstrip("."), one.get(name)) for at, one in found]
        if many:
            inside = [
                (f"{at}[{i}]", one) for at, all_ in inside for i, one in enumerate(all_ or [])
            ]
        found = [(at, one) for at, one in inside if isinstance(one, dict)]
    yield from found


def _close(schema: Any) -> None:
    """Let objects have no other properties than those named, as the API server does."""
    if isinstance(schema, dict):
        open_ = schema.get("x-kubernetes-preserve-unknown-fields")
        if isinstance(schema.get("properties"), dict) and not open_:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)


def _path(parts: Any) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")
