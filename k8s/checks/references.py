"""Every name that one object has of another: it is there, with the key that is asked for."""

from __future__ import annotations

import posixpath
from typing import Any

import yaml

from k8s.checks.manifests import Checked, Manifests, Raw, Template, name_of, selects
from k8s.checks.mounts import keys_of


def check(manifests: Manifests) -> Checked:
    """ConfigMaps, Secrets, claims, accounts, volumes, files in commands, selectors, pipelines."""
    checked = Checked()
    count = 0
    for template in manifests.templates:
        count += _check_sources(manifests, template, checked)
        count += _check_volumes(manifests, template, checked)
        count += _check_account(manifests, template, checked)
        _check_scripts(manifests, template, checked)
    for service in manifests.ray_services:
        options = service["spec"].get("rayClusterConfig", {}).get("gcsFaultToleranceOptions") or {}
        for name in ("redisPassword", "redisUsername"):
            source = (options.get(name) or {}).get("valueFrom") or {}
            path = f"spec.rayClusterConfig.gcsFaultToleranceOptions.{name}"
            count += _check_key(manifests, name_of(service), path, source, checked)
    for ingress in manifests.of("Ingress"):
        for index, tls in enumerate(ingress["spec"].get("tls", [])):
            source = {"secretKeyRef": {"name": tls.get("secretName", ""), "key": "tls.crt"}}
            path = f"spec.tls[{index}].secretName"
            count += _check_key(manifests, name_of(ingress), path, source, checked)
    for monitor in manifests.of("PodMonitor"):
        for index, endpoint in enumerate(monitor["spec"].get("podMetricsEndpoints", [])):
            source = {"secretKeyRef": (endpoint.get("authorization") or {}).get("credentials")}
            path = f"spec.podMetricsEndpoints[{index}].authorization.credentials"
            if source["secretKeyRef"]:
                count += _check_key(manifests, name_of(monitor), path, source, checked)
    count += _check_selectors(manifests, checked)
    count += _check_pipelines(manifests, checked)
    checked.what = f"{count} names of other objects"
    return checked


def _check_key(manifests: Manifests, owner: str, path: str, source: Raw, checked: Checked) -> int:
    """A ``valueFrom``: returns how many references it holds."""
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if field not in source:
            continue
        name, key = source[field].get("name", ""), source[field].get("key", "")
        _check_there(manifests, (owner, path), kind, name, [key], checked)
        return 1
    return 0


def _check_there(
    manifests: Manifests, where: tuple[str, str], kind: str, name: str, wanted: list[str],
    checked: Checked,
) -> None:  # fmt: skip
    keys = keys_of(manifests, kind, name)
    if keys is None:
        fix = "make it"
        if kind == "Secret":
            fix = "make it, or name it in the overlay's external.yaml"
        checked.add(*where, f"there is no {kind} {name}", fix)
        return
    for key in wanted:
        if key not in keys:
            what = f"{kind} {name} has no key {key}"
            checked.add(*where, what, f"it has {', '.join(sorted(keys)) or 'none'}")


def _check_sources(manifests: Manifests, template: Template, checked: Checked) -> int:
    """``envFrom`` and ``valueFrom`` of every container."""
    count = 0
    for path, container in template.every_container:
        for index, source in enumerate(container.get("envFrom", [])):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    where = (template.owner, f"{path}.envFrom[{index}].{field}.name")
                    _check_there(manifests, where, kind, source[field].get("name", ""), [], checked)
                    count += 1
        for each in container.get("env", []):
            where_ = f"{path}.env[{each['name']}]"
            count += _check_key(
                manifests, template.owner, where_, each.get("valueFrom") or {}, checked
            )
    return count


def _check_volumes(manifests: Manifests, template: Template, checked: Checked) -> int:
    volumes = template.spec.get("volumes", [])
    for index, volume in enumerate(volumes):
        where = (template.owner, f"{template.path}.spec.volumes[{index}]")
        if "configMap" in volume:
            source = volume["configMap"]
            items = [item["key"] for item in source.get("items", [])]
            _check_there(manifests, where, "ConfigMap", source.get("name", ""), items, checked)
        if "secret" in volume and not volume["secret"].get("optional"):
            source = volume["secret"]
            items = [item["key"] for item in source.get("items", [])]
            _check_there(manifests, where, "Secret", source.get("secretName", ""), items, checked)
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            if manifests.named("PersistentVolumeClaim", claim) is None:
                checked.add(*where, f"there is no PersistentVolumeClaim {claim}", "make it")
    names = {volume["name"] for volume in volumes}
    for path, container in template.every_container:
        for index, mount in enumerate(container.get("volumeMounts", [])):
            if mount["name"] not in names:
                checked.add(template.owner, f"{path}.volumeMounts[{index}]",
                            f"there is no volume {mount['name']}",
                            f"expected one of {', '.join(sorted(names))}")  # fmt: skip
    return len(volumes)


def _check_account(manifests: Manifests, template: Template, checked: Checked) -> int:
    account = template.spec.get("serviceAccountName")
    path = f"{template.path}.spec.serviceAccountName"
    if account is None:
        return 0
    if template.group == "head":
        what = "KubeRay gives the head's own account the role that its autoscaler needs"
        checked.add(template.owner, path, what, "leave it out")
    elif manifests.named("ServiceAccount", account) is None:
        checked.add(template.owner, path, f"there is no ServiceAccount {account}", "make it")
    return 1


def _check_scripts(manifests: Manifests, template: Template, checked: Checked) -> None:
    """A file that a command or hook names below a mounted ConfigMap is one of its keys."""
    configs = {
        volume["name"]: volume["configMap"]["name"]
        for volume in template.spec.get("volumes", [])
        if "configMap" in volume
    }
    for path, container in template.every_container:
        hook = (container.get("lifecycle") or {}).get("preStop") or {}
        words = [*container.get("command", []), *container.get("args", [])]
        words += (hook.get("exec") or {}).get("command", [])
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in configs:
                continue
            for word in (str(each).partition("=")[2] or str(each) for each in words):
                folder, file = posixpath.split(word)
                if folder == mount["mountPath"]:
                    where = (template.owner, f"{path} {word}")
                    _check_there(
                        manifests, where, "ConfigMap", configs[mount["name"]], [file], checked
                    )
        for word in words:
            if str(word).startswith("/etc/ztad/") and not any(
                str(word).startswith(f"{mount['mountPath']}/")
                for mount in container.get("volumeMounts", [])
            ):
                checked.add(template.owner, path, f"{word} is not mounted", "mount its ConfigMap")


def _check_selectors(manifests: Manifests, checked: Checked) -> int:
    """What picks pods by label picks some, and a workload its own."""
    count = 0
    for each in manifests.objects:
        spec: Any = each.get("spec") or {}
        if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            labels = spec["template"]["metadata"].get("labels") or {}
            if not selects(spec["selector"], labels):
                what = f"{spec['selector']} does not match its own pods, which have {labels}"
                checked.add(name_of(each), "spec.selector", what, "say the same in both")
            count += 1
        elif each["kind"] in ("PodDisruptionBudget", "PodMonitor"):
            count += _check_picks(
                manifests, name_of(each), "spec.selector", spec["selector"], checked
            )
        elif each["kind"] == "NetworkPolicy":
            count += _check_policy(manifests, each, checked)
    for template in manifests.templates:
        for index, spread in enumerate(template.spec.get("topologySpreadConstraints", [])):
            if not selects(spread.get("labelSelector") or {}, template.labels):
                path = f"{template.path}.spec.topologySpreadConstraints[{index}].labelSelector"
                checked.add(template.owner, path, "does not match its own pods", "say their labels")
            count += 1
    return count


def _check_policy(manifests: Manifests, policy: Raw, checked: Checked) -> int:
    name, spec, count = name_of(policy), policy["spec"], 0
    if spec.get("podSelector"):
        count += _check_picks(manifests, name, "spec.podSelector", spec["podSelector"], checked)
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, [])):
            for peer in rule.get(side, []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    path = f"spec.{direction}[{index}].{side}"
                    count += _check_picks(manifests, name, path, peer["podSelector"], checked)
    return count


def _check_picks(
    manifests: Manifests, name: str, path: str, selector: Raw, checked: Checked
) -> int:
    if not any(selects(selector, template.labels) for template in manifests.templates):
        checked.add(name, path, f"{selector} picks no pod of ours", "say the labels of some pod")
    return 1


def _check_pipelines(manifests: Manifests, checked: Checked) -> int:
    """A collector's pipelines name what the same file configures."""
    count = 0
    for config in manifests.of("ConfigMap"):
        text = (config.get("data") or {}).get("config.yaml", "")
        document = yaml.safe_load(text) if text else None
        if not isinstance(document, dict) or "service" not in document:
            continue
        wanted = [("extensions", document["service"].get("extensions", []))]
        for pipeline in (document["service"].get("pipelines") or {}).values():
            wanted += [
                (kind, pipeline.get(kind, [])) for kind in ("receivers", "processors", "exporters")
            ]
        for kind, names in wanted:
            for one in names:
                count += 1
                if one not in (document.get(kind) or {}):
                    path = f"data[config.yaml].{kind}"
                    checked.add(name_of(config), path, f"{one} is not configured", "configure it")
    return count
