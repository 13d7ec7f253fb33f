"""Every port that is asked for is one that somebody listens on."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import yaml

from k8s.checks.manifests import (
    Checked,
    Manifests,
    Raw,
    Template,
    declared_ports,
    environment,
    name_of,
    selects,
)

#: Ports of Services that KubeRay makes for a RayService, by the end of their name.
RAY_SERVICES = {"head-svc": {6379, 8265, 10001, 8000, 8080}, "serve-svc": {8000}}


def check(manifests: Manifests) -> Checked:
    """Services, ingresses, policies, monitors, probes, addresses in variables and pipelines."""
    checked = Checked()
    count = 0
    for template in manifests.templates:
        for path, container in template.every_container:
            count += _check_probes(template.owner, path, container, checked)
            count += _check_addresses(manifests, template.owner, path, container, checked)
    for service in manifests.of("Service"):
        count += _check_service(manifests, service, checked)
    for ingress in manifests.of("Ingress"):
        count += _check_ingress(manifests, ingress, checked)
    for policy in manifests.of("NetworkPolicy"):
        count += _check_policy(manifests, policy, checked)
    for monitor in manifests.of("PodMonitor"):
        count += _check_monitor(manifests, monitor, checked)
    count += _check_exporters(manifests, checked)
    checked.what = f"{count} ports"
    return checked


def services(manifests: Manifests) -> dict[str, set[int]]:
    """Ports by Service, of ours and of those that KubeRay makes."""
    found = {
        each["metadata"]["name"]: {int(port["port"]) for port in each["spec"].get("ports", [])}
        for each in manifests.of("Service")
    }
    for each in manifests.ray_services:
        for suffix, ports in RAY_SERVICES.items():
            found[f"{each['metadata']['name']}-{suffix}"] = ports
    return found


def _check_there(
    manifests: Manifests, where: tuple[str, str], host: str, port: int, checked: Checked
) -> None:
    name, known = host.partition(".")[0], services(manifests)
    if name not in known:
        checked.add(*where, f"there is no Service {name}", f"expected {', '.join(sorted(known))}")
    elif port not in known[name]:
        ports = ", ".join(map(str, sorted(known[name])))
        checked.add(*where, f"Service {name} has no port {port}", f"it has {ports}")


def _check_probes(owner: str, path: str, container: Raw, checked: Checked) -> int:
    names = {port.get("name") for port in container.get("ports", [])}
    numbers = {port["containerPort"] for port in container.get("ports", [])}
    count = 0
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        for kind in ("httpGet", "tcpSocket", "grpc"):
            port = (container.get(probe) or {}).get(kind, {}).get("port")
            if port is None:
                continue
            count += 1
            if port not in names | numbers:
                known = ", ".join(sorted(map(str, names)))
                checked.add(owner, f"{path}.{probe}.{kind}.port", f"{port} is not declared",
                            f"expected one of {known}")  # fmt: skip
    return count


def _check_addresses(
    manifests: Manifests, owner: str, path: str, container: Raw, checked: Checked
) -> int:
    """URLs of Services without a namespace, which are therefore ours."""
    count = 0
    for name, value in environment(manifests, container).items():
        if not value.startswith(("http://", "https://")):
            continue
        url = urlsplit(value)
        if url.hostname and "." not in url.hostname and url.port:
            count += 1
            _check_there(manifests, (owner, f"{path} {name}"), url.hostname, url.port, checked)
    return count


def _check_service(manifests: Manifests, service: Raw, checked: Checked) -> int:
    spec = service["spec"]
    picked = [t for t in manifests.templates if selects(spec.get("selector") or {}, t.labels)]
    if not picked:
        what = f"{spec.get('selector')} picks no pod of ours"
        checked.add(name_of(service), "spec.selector", what, "say the labels of some pod")
        return 0
    names, numbers = declared_ports(picked)
    for index, port in enumerate(spec.get("ports", [])):
        target = port.get("targetPort", port["port"])
        if target not in names | numbers:
            checked.add(name_of(service), f"spec.ports[{index}].targetPort",
                        f"no container of its pods declares {target}",
                        f"expected one of {', '.join(sorted(names))}")  # fmt: skip
    return len(spec.get("ports", []))


def _check_ingress(manifests: Manifests, ingress: Raw, checked: Checked) -> int:
    count = 0
    for path, backend in _backends(ingress):
        count += 1
        service = backend.get("service", {})
        port = service.get("port", {}).get("number", 0)
        _check_there(manifests, (name_of(ingress), path), service.get("name", ""), port, checked)
    return count


def _backends(ingress: Raw) -> Iterator[tuple[str, Raw]]:
    for r, rule in enumerate(ingress["spec"].get("rules", [])):
        for p, path in enumerate(rule.get("http", {}).get("paths", [])):
            yield f"spec.rules[{r}].http.paths[{p}].backend", path["backend"]


def _check_policy(manifests: Manifests, policy: Raw, checked: Checked) -> int:
    """Ports that a policy opens towards our pods are declared by some of them."""
    spec, count = policy["spec"], 0
    ours = [t for t in manifests.templates if selects(spec.get("podSelector") or {}, t.labels)]
    rules = [("ingress", i, rule, ours) for i, rule in enumerate(spec.get("ingress", []))]
    for i, rule in enumerate(spec.get("egress", [])):
        peers = [peer for peer in rule.get("to", []) if "podSelector" in peer and len(peer) == 1]
        targets = [
            t
            for t in manifests.templates
            for peer in peers
            if selects(peer["podSelector"], t.labels)
        ]
        if peers:
            rules.append(("egress", i, rule, targets))
    for direction, i, rule, pods in rules:
        names, numbers = declared_ports(pods)
        for p, port in enumerate(rule.get("ports", [])):
            count += 1
            if port.get("port") not in names | numbers:
                known = ", ".join(map(str, sorted(numbers)))
                checked.add(name_of(policy), f"spec.{direction}[{i}].ports[{p}]",
                            f"none of those pods declares {port.get('port')}",
                            f"expected one of {known}")  # fmt: skip
    return count


def _check_monitor(manifests: Manifests, monitor: Raw, checked: Checked) -> int:
    picked: list[Template] = [
        t for t in manifests.templates if selects(monitor["spec"]["selector"], t.labels)
    ]
    names, _ = declared_ports(picked)
    endpoints = monitor["spec"].get("podMetricsEndpoints", [])
    for index, endpoint in enumerate(endpoints):
        if endpoint.get("port") not in names:
            checked.add(name_of(monitor), f"spec.podMetricsEndpoints[{index}].port",
                        f"no pod names a port {endpoint.get('port')}",
                        f"expected one of {', '.join(sorted(names))}")  # fmt: skip
    return len(endpoints)


def _check_exporters(manifests: Manifests, checked: Checked) -> int:
    """Where the collector sends traces to."""
    count = 0
    for config in manifests.of("ConfigMap"):
        text = (config.get("data") or {}).get("config.yaml", "")
        document = yaml.safe_load(text) if text else None
        exporters = document.get("exporters", {}) if isinstance(document, dict) else {}
        for name, exporter in exporters.items():
            host, _, port = str((exporter or {}).get("endpoint", "")).rpartition(":")
            if not host or "." in host:
                continue
            count += 1
            where = (name_of(config), f"data[config.yaml].exporters.{name}.endpoint")
            _check_there(manifests, where, host.rpartition("/")[2], int(port), checked)
    return count
