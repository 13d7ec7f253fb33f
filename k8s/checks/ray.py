"""What KubeRay's webhook and operator refuse, and the traps that they let pass."""

from __future__ import annotations

import re
from typing import Any

import ray

from k8s.checks.manifests import (
    Checked,
    Manifests,
    Raw,
    Template,
    environment,
    groups,
    name_of,
    templates,
)
from services.node import FLAGS

LONGEST_NAME = 41
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
STRATEGIES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
#: Ports that every head names; the operator and the monitoring find them by name.
HEAD_PORTS = {
    "gcs-server": 6379,
    "dashboard": 8265,
    "client": 10001,
    "serve": 8000,
    "metrics": 8080,
}
#: Features of KubeRay 1.7 that are off until an operator turns them on.
GATED = {
    "networkPolicy": "RayClusterNetworkPolicy",
    "tlsOptions": "RayClusterMTLS",
    "historyServerOptions": "RayClusterHistoryServer",
}
#: Variables that KubeRay sets from gcsFaultToleranceOptions, and refuses beside it.
REDIS_VARIABLES = ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME")
RESOURCE_PARAMETERS = ("num-cpus", "num-gpus", "memory", "resources")
#: A worker's drain.sh takes this long at most.
LEAST_GRACE_S = 90

Where = tuple[str, str]


def check(manifests: Manifests) -> Checked:
    """Every RayService."""
    checked = Checked(what="no RayService")
    for service in manifests.ray_services:
        name, cluster = name_of(service), service["spec"].get("rayClusterConfig", {})
        _check_service(service, name, checked)
        _check_upgrade(manifests, service, name, checked)
        _check_cluster(cluster, name, checked)
        _check_fault_tolerance(service, cluster, name, checked)
        for group, path, raw in groups(service):
            _check_group(group, path, raw, cluster, name, checked)
        for template in templates(service):
            _check_pod(manifests, template, checked)
        checked.what = f"{name}, {len(list(groups(service)))} groups, {len(FLAGS)} flags on each"
    return checked


def _check_service(service: Raw, name: str, checked: Checked) -> None:
    spec = service["spec"]
    own = service["metadata"]["name"]
    if len(own) > LONGEST_NAME or not DNS_LABEL.fullmatch(own):
        fix = f"at most {LONGEST_NAME} of a-z, 0-9 and -, beginning with a letter"
        checked.add(name, "metadata.name", "refused by KubeRay", fix)
    for field in ("serviceUnhealthySecondThreshold", "deploymentUnhealthySecondThreshold"):
        if field in spec:
            checked.add(name, f"spec.{field}", "KubeRay no longer reads it", "remove it")
    if spec.get("rayClusterDeletionDelaySeconds", 0) < 0:
        field = "spec.rayClusterDeletionDelaySeconds"
        checked.add(name, field, "refused by KubeRay: below 0", "0 or more")
    if spec.get("excludeHeadPodFromServeSvc") is not True:
        what = "requests would go to the head, which holds no replica"
        checked.add(name, "spec.excludeHeadPodFromServeSvc", what, "set it to true")


def _check_upgrade(manifests: Manifests, service: Raw, name: str, checked: Checked) -> None:
    spec = service["spec"]
    strategy = spec.get("upgradeStrategy") or {}
    kind = strategy.get("type", "NewCluster")
    if kind not in STRATEGIES:
        fix = f"expected {', '.join(STRATEGIES)}"
        checked.add(name, "spec.upgradeStrategy.type", f"{kind!r} is refused by KubeRay", fix)
    if kind != "None" and _owns_volume(manifests, service):
        what = "a second cluster would wait for the volume that the first one holds"
        checked.add(
            name, "spec.upgradeStrategy.type", what, "set it to None while history is embedded"
        )
    if kind == "NewClusterWithIncrementalUpgrade":
        _check_incremental(spec, strategy.get("clusterUpgradeOptions"), name, checked)


def _check_incremental(spec: Raw, options: Raw | None, name: str, checked: Checked) -> None:
    path = "spec.upgradeStrategy.clusterUpgradeOptions"
    if not spec.get("rayClusterConfig", {}).get("enableInTreeAutoscaling"):
        checked.add(name, path, "refused by KubeRay without enableInTreeAutoscaling", "set it")
    if options is None:
        checked.add(name, path, "refused by KubeRay: missing", "give it")
        return
    surge, step = options.get("maxSurgePercent", 100), options.get("stepSizePercent", -1)
    if not 0 <= step <= surge <= 100:
        fix = "0 <= stepSizePercent <= maxSurgePercent <= 100"
        checked.add(name, path, "refused by KubeRay", fix)
    if options.get("intervalSeconds", 0) <= 0 or not options.get("gatewayClassName"):
        fix = "intervalSeconds above 0 and a gatewayClassName"
        checked.add(name, path, "refused by KubeRay", fix)


def _owns_volume(manifests: Manifests, service: Raw) -> bool:
    """Whether a pod mounts a claim for writing that one node alone may hold."""
    for template in templates(service):
        for volume in template.spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim")
            if claim is None or claim.get("readOnly"):
                continue
            found = manifests.named("PersistentVolumeClaim", claim["claimName"]) or {}
            if "ReadWriteMany" not in found.get("spec", {}).get("accessModes", []):
                return True
    return False


def _check_cluster(cluster: Raw, name: str, checked: Checked) -> None:
    base = "spec.rayClusterConfig"
    if cluster.get("rayVersion") != ray.__version__:
        what = f"{cluster.get('rayVersion')}, and the images have Ray {ray.__version__}"
        checked.add(name, f"{base}.rayVersion", what, f"set it to {ray.__version__}")
    auth = cluster.get("authOptions") or {}
    if auth.get("mode") != "token":
        what = "whoever reaches Ray's ports could run code"
        checked.add(name, f"{base}.authOptions.mode", what, "set it to token")
    if auth.get("enableK8sTokenAuth"):
        field = f"{base}.authOptions.enableK8sTokenAuth"
        checked.add(name, field, "refused by KubeRay for a RayService", "remove it")
    for field, gate in GATED.items():
        if field in cluster:
            what = f"refused by KubeRay unless its feature gate {gate} is on"
            checked.add(name, f"{base}.{field}", what, "remove it")
    for field in ("upgradeStrategy", "suspend"):
        if field in cluster:
            checked.add(name, f"{base}.{field}", "refused by KubeRay within a RayService",
                        f"set spec.{field} instead")  # fmt: skip
    scaler = cluster.get("autoscalerOptions") or {}
    if not cluster.get("enableInTreeAutoscaling") or scaler.get("version") != "v2":
        what = "without the autoscaler bounds of stages beyond the first pods mean nothing"
        checked.add(name, f"{base}.autoscalerOptions.version", what,
                    "enableInTreeAutoscaling: true and version: v2")  # fmt: skip
    if scaler.get("idleTimeoutSeconds", 0) < 0:
        checked.add(name, f"{base}.autoscalerOptions.idleTimeoutSeconds", "below 0", "0 or more")
    if "KUBERAY_GEN_AUTOSCALER_START_CMD" in _names(scaler.get("env")):
        checked.add(name, f"{base}.autoscalerOptions.env", "refused by KubeRay", "remove it")
    head = cluster.get("headGroupSpec", {})
    if (head.get("headService") or {}).get("metadata", {}).get("name"):
        checked.add(
            name, f"{base}.headGroupSpec.headService", "refused by KubeRay: named", "unname it"
        )


def _check_fault_tolerance(service: Raw, cluster: Raw, name: str, checked: Checked) -> None:
    base = "spec.rayClusterConfig.gcsFaultToleranceOptions"
    options = cluster.get("gcsFaultToleranceOptions")
    annotations = service["metadata"].get("annotations") or {}
    head = cluster.get("headGroupSpec", {})
    container = (head.get("template", {}).get("spec", {}).get("containers") or [{}])[0]
    for variable in REDIS_VARIABLES:
        if variable in _names(container.get("env")):
            what = f"{variable} of the head is refused by KubeRay"
            checked.add(name, base, what, "say it in gcsFaultToleranceOptions")
    for parameter in ("redis-password", "redis-username"):
        if parameter in (head.get("rayStartParams") or {}):
            what = f"{parameter} in rayStartParams is refused by KubeRay"
            checked.add(name, base, what, "say it in gcsFaultToleranceOptions")
    if options is None:
        return
    for annotation in ("ray.io/ft-enabled", "ray.io/external-storage-namespace"):
        if annotation in annotations:
            what = "refused by KubeRay beside gcsFaultToleranceOptions"
            checked.add(name, f"metadata.annotations[{annotation}]", what, "remove it")
    if "externalStorageNamespace" in options:
        what = "two clusters would share one head's tables"
        checked.add(name, f"{base}.externalStorageNamespace", what, "leave it to KubeRay")
    if options.get("backend", "redis") != "redis":
        checked.add(name, f"{base}.backend", "alpha, and off in KubeRay 1.7", "use redis")
    for secret in ("redisPassword", "redisUsername"):
        if "value" in (options.get(secret) or {}):
            checked.add(name, f"{base}.{secret}.value", "readable by everybody", "use valueFrom")


def _check_group(
    group: str, path: str, raw: Raw, cluster: Raw, name: str, checked: Checked
) -> None:
    parameters: Raw = raw.get("rayStartParams") or {}
    if not raw.get("template", {}).get("spec", {}).get("containers"):
        checked.add(name, f"{path}.template", "refused by KubeRay: no container", "give it one")
    if raw.get("resources") and any(parameters.get(each) for each in RESOURCE_PARAMETERS):
        what = "refused by KubeRay: in resources and in rayStartParams"
        checked.add(name, f"{path}.resources", what, "say it in one of them")
    if "labels" in parameters:
        checked.add(name, f"{path}.rayStartParams.labels", "refused by KubeRay", "use labels")
    restart = raw.get("template", {}).get("spec", {}).get("restartPolicy", "Never")
    if restart != "Never":
        what = "refused by KubeRay with autoscaler v2"
        checked.add(name, f"{path}.template.spec.restartPolicy", what, "leave it out")
    if group == "head":
        if parameters.get("num-cpus") != "0":
            what = "replicas could run on the head"
            checked.add(name, f"{path}.rayStartParams.num-cpus", what, 'set it to "0"')
        if "RAY_enable_autoscaler_v2" in _names(_first(raw).get("env")):
            what = "refused by KubeRay beside autoscalerOptions.version"
            checked.add(name, f"{path}.template", what, "remove RAY_enable_autoscaler_v2")
        return
    least, most = raw.get("minReplicas", 0), raw.get("maxReplicas", 0)
    if not 0 <= least <= raw.get("replicas", least) <= most:
        fix = "0 <= minReplicas <= replicas <= maxReplicas"
        checked.add(name, f"{path}.minReplicas", f"{least} to {most}", fix)
    if raw.get("suspend"):
        checked.add(name, f"{path}.suspend", "refused by KubeRay with the autoscaler", "remove it")


def _check_pod(manifests: Manifests, template: Template, checked: Checked) -> None:
    path = f"{template.path}.spec.containers[0]"
    container = template.containers[0] if template.containers else {}
    have = environment(manifests, container)
    for flag, value in FLAGS.items():
        if have.get(flag) != value:
            what = f"{flag} is {have.get(flag, 'not set')}, on one machine it is {value}"
            checked.add(
                template.owner, f"{path}.envFrom", what, "give every Ray container the same"
            )
    ports = {port.get("name"): port.get("containerPort") for port in container.get("ports", [])}
    wanted: dict[str, int] = HEAD_PORTS if template.group == "head" else {"serve": 8000}
    for port, number in wanted.items():
        if ports.get(port) != number:
            what = f"{port} is {ports.get(port, 'not declared')}"
            checked.add(template.owner, f"{path}.ports", what, f"name {number} {port}")
    for probe in ("livenessProbe", "readinessProbe"):
        if probe not in container:
            checked.add(template.owner, f"{path}.{probe}", "missing", "say when the pod is well")
    if template.group == "head":
        return
    ready = str(container.get("readinessProbe", {}).get("exec", {}).get("command", ""))
    if "/-/healthz" not in ready:
        what = "a worker is ready once its HAProxy answers"
        checked.add(template.owner, f"{path}.readinessProbe", what, "ask :8000/-/healthz too")
    if "preStop" not in (container.get("lifecycle") or {}):
        what = "replicas would be cut off"
        checked.add(template.owner, f"{path}.lifecycle.preStop", what, "drain first")
    grace = template.spec.get("terminationGracePeriodSeconds", 30)
    if grace < LEAST_GRACE_S:
        field = f"{template.path}.spec.terminationGracePeriodSeconds"
        checked.add(template.owner, field, f"{grace} s", f"at least {LEAST_GRACE_S} for the drain")


def _first(group: Raw) -> Raw:
    found: Raw = (group.get("template", {}).get("spec", {}).get("containers") or [{}])[0]
    return found


def _names(env: Any) -> set[str]:
    return {each["name"] for each in env or []}
