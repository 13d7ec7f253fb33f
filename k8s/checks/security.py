"""No pod may do more than it must."""

from __future__ import annotations

import re

from k8s.checks.manifests import Checked, Manifests, Raw, Template, name_of

#: Volumes that lead out of the pod, onto its node.
NODE_VOLUMES = ("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "flexVolume")
SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|token|api_?key|credential)")
#: The one pod that talks to the API server: the autoscaler's, with an account KubeRay makes for it.
TOKEN_HOLDER = "head"


def check(manifests: Manifests) -> Checked:
    """Every pod template, the namespace, and that nothing is open by default."""
    checked = Checked()
    for template in manifests.templates:
        _check_pod(template, checked)
        for path, container in template.every_container:
            _check_container(template, path, container, checked)
    for service in manifests.ray_services:
        _check_autoscaler(service, checked)
    _check_namespace(manifests, checked)
    _check_default_deny(manifests, checked)
    containers = sum(len(list(template.every_container)) for template in manifests.templates)
    checked.what = f"{len(manifests.templates)} pod templates, {containers} containers"
    return checked


def _check_pod(template: Template, checked: Checked) -> None:
    spec, path = template.spec, f"{template.path}.spec"
    context = spec.get("securityContext") or {}
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        field = f"{path}.securityContext.runAsNonRoot"
        checked.add(
            template.owner, field, "may run as root", "runAsNonRoot: true, runAsUser above 0"
        )
    if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        field = f"{path}.securityContext.seccompProfile"
        checked.add(template.owner, field, "no seccomp profile", "type: RuntimeDefault")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            checked.add(template.owner, f"{path}.{field}", "shares the node's", "remove it")
    for index, volume in enumerate(spec.get("volumes", [])):
        for kind in NODE_VOLUMES:
            if kind in volume:
                checked.add(template.owner, f"{path}.volumes[{index}].{kind}",
                            "reaches into the node", "use a claim")  # fmt: skip
    if spec.get("automountServiceAccountToken") is not False and template.group != TOKEN_HOLDER:
        field = f"{path}.automountServiceAccountToken"
        checked.add(template.owner, field, "is given a token it never uses", "set it to false")


def _check_container(template: Template, path: str, container: Raw, checked: Checked) -> None:
    owner = template.owner
    _check_context(
        owner, f"{path}.securityContext", container.get("securityContext") or {}, checked
    )
    resources = container.get("resources") or {}
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if resource not in (resources.get(kind) or {}):
                checked.add(owner, f"{path}.resources.{kind}.{resource}", "missing", "bound it")
    for port in container.get("ports", []):
        if "hostPort" in port:
            checked.add(owner, f"{path}.ports", "opens a port of the node", "remove hostPort")
    for each in container.get("env", []):
        if "value" in each and SECRET_NAME.search(each["name"]):
            checked.add(owner, f"{path}.env[{each['name']}]", "a secret in plain sight",
                        "take it from a Secret with valueFrom")  # fmt: skip


def _check_context(owner: str, path: str, context: Raw, checked: Checked) -> None:
    if context.get("privileged"):
        checked.add(owner, f"{path}.privileged", "owns the node", "remove it")
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        checked.add(owner, path, "runs as root", "remove it")
    if context.get("allowPrivilegeEscalation") is not False:
        field = f"{path}.allowPrivilegeEscalation"
        checked.add(owner, field, "may gain privileges", "set it to false")
    capabilities = context.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        checked.add(owner, f"{path}.capabilities", "keeps some", "drop: [ALL], add none")
    if context.get("readOnlyRootFilesystem") is not True:
        field = f"{path}.readOnlyRootFilesystem"
        checked.add(owner, field, "may change its own programs", "set it to true")


def _check_autoscaler(service: Raw, checked: Checked) -> None:
    """A container that KubeRay adds to the head's pod, with the context it is told."""
    options = service["spec"].get("rayClusterConfig", {}).get("autoscalerOptions") or {}
    path = "spec.rayClusterConfig.autoscalerOptions.securityContext"
    _check_context(name_of(service), path, options.get("securityContext") or {}, checked)


def _check_namespace(manifests: Manifests, checked: Checked) -> None:
    for namespace in manifests.of("Namespace"):
        label = "pod-security.kubernetes.io/enforce"
        if (namespace["metadata"].get("labels") or {}).get(label) != "restricted":
            checked.add(name_of(namespace), f"metadata.labels[{label}]",
                        "the API server would let any pod in", "restricted")  # fmt: skip
    names = {namespace["metadata"]["name"] for namespace in manifests.of("Namespace")}
    for each in manifests.objects:
        place = each["metadata"].get("namespace")
        if each["kind"] != "Namespace" and place not in names:
            checked.add(name_of(each), "metadata.namespace", f"{place} is not made here",
                        f"expected {', '.join(sorted(names))}")  # fmt: skip


def _check_default_deny(manifests: Manifests, checked: Checked) -> None:
    for policy in manifests.of("NetworkPolicy"):
        spec = policy["spec"]
        both = set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}
        if both and not any(spec.get(field) for field in ("podSelector", "ingress", "egress")):
            return
    checked.add("NetworkPolicy/default-deny", "spec", "not there: everything may reach every pod",
                "an empty podSelector with policyTypes [Ingress, Egress] and no rule")  # fmt: skip
