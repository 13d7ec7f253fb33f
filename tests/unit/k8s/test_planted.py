"""Mistakes anywhere in the manifests: each is found, at its field, with its mending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from k8s.checks.manifests import Manifests
from tests.unit.k8s.planting import Raw, container, findings, the

# ---- fields and types ----


def test_a_field_that_rayservice_does_not_have(prod: Manifests, service: Raw) -> None:
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParam"] = {}
    alone = Manifests("prod", prod.objects, prod.external, schema=None)
    [found] = findings(alone, "schemas")
    expected = (
        "rayClusterConfig.headGroupSpec.rayStartParam: no such field; expected one of enableI"
    )
    assert expected in found


def test_a_field_that_only_kuberays_schema_knows_to_be_wrong(prod: Manifests, service: Raw) -> None:
    if prod.schema is None:
        pytest.skip("KubeRay's RayService schema is not beside this checkout")
    service["spec"]["rayClusterConfig"]["autoscalerOptions"]["version"] = "v3"
    service["spec"]["serveService"] = {"spec": {"sessionAffinty": "None"}}
    found = findings(prod, "schemas")
    assert any("'v3' is not one of ['v1', 'v2']" in one for one in found)
    assert any("'sessionAffinty' was unexpected" in one for one in found)


@pytest.mark.parametrize(
    ("kind", "name", "plant", "expected"),
    [
        ("Deployment", "jaeger", lambda o: o["spec"].update(replica=2), "'replica' was unexpected"),
        ("CronJob", "ztad-train", lambda o: o["spec"].update(suspend="yes"), "'yes' is not of"),
        ("PodMonitor", "ztad", lambda o: o["spec"].update(endpoints=[]), "spec.endpoints: no such"),
        (
            "PrometheusRule", "ztad", lambda o: o["spec"]["groups"][0]["rules"][0].update(when="x"),
            "spec.groups[0].rules[0].when: no such",
        ),
        ("Ingress", "ztad", lambda o: o.update(apiVersion="extensions/v1"), "no schema known for"),
    ],
)  # fmt: skip
def test_fields_of_other_kinds(
    prod: Manifests, kind: str, name: str, plant: Callable[[Raw], object], expected: str
) -> None:
    plant(the(prod, kind, name))
    [found] = findings(prod, "schemas")
    assert f"{kind}/{name}" in found
    assert expected in found


def test_a_misspelt_field_of_a_ray_pod(prod: Manifests, service: Raw) -> None:
    container(service, 0)["readinesProbe"] = container(service, 0).pop("readinessProbe")
    found = findings(prod, "schemas")
    assert any("'readinesProbe' was unexpected" in one for one in found), found


# ---- names of other objects ----


@pytest.mark.parametrize(
    ("kind", "name", "plant", "expected"),
    [
        (
            "CronJob", "ztad-admin",
            lambda spec: spec["containers"][0]["env"][2]["valueFrom"]["secretKeyRef"].update(
                name="ztad-admin"
            ),
            "there is no Secret ztad-admin; make it, or name it in the overlay's external.yaml",
        ),
        (
            "CronJob", "ztad-admin",
            lambda spec: spec["containers"][0]["env"][2]["valueFrom"]["secretKeyRef"].update(
                key="api-key"
            ),
            "Secret ztad-admin-key has no key api-key; it has key",
        ),
        (
            "CronJob", "ztad-fetch",
            lambda spec: spec["volumes"][1]["persistentVolumeClaim"].update(claimName="ztad-model"),
            "there is no PersistentVolumeClaim ztad-model",
        ),
        (
            "Deployment", "jaeger",
            lambda spec: spec["volumes"][0]["configMap"].update(name="jeager"),
            "there is no ConfigMap jeager",
        ),
        (
            "Deployment", "jaeger",
            lambda spec: spec["containers"][0].update(args=["--config=/etc/jaeger/jaeger.yaml"]),
            "has no key jaeger.yaml; it has config.yaml",
        ),
        (
            "Deployment", "jaeger", lambda spec: spec.update(serviceAccountName="jaeger"),
            "there is no ServiceAccount jaeger",
        ),
        (
            "Deployment", "jaeger",
            lambda spec: spec["containers"][0]["volumeMounts"][1].update(name="trace"),
            "volumeMounts[1]: there is no volume trace; expected one of config, tmp, traces",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_references(
    prod: Manifests, kind: str, name: str, plant: Callable[[Raw], object], expected: str
) -> None:
    spec = the(prod, kind, name)["spec"]
    spec = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    plant(spec["template"]["spec"])
    found = findings(prod, "references")
    assert any(expected in one for one in found), found
    assert all(f"{kind}/{name}" in one for one in found)


def test_a_secret_that_nobody_provides(prod: Manifests) -> None:
    prod.external.pop("ztad-api-keys")
    prod.external.pop("ztad-redis")
    found = findings(prod, "references")
    assert [one.partition(";")[0].rpartition(": ")[2] for one in found] == [
        "there is no Secret ztad-api-keys",
        "there is no Secret ztad-redis",
    ]


def test_a_selector_that_picks_nobody(prod: Manifests) -> None:
    the(prod, "PodDisruptionBudget", "ztad-scoring")["spec"]["selector"]["matchLabels"] = {
        "app": "x"
    }
    the(prod, "Deployment", "jaeger")["spec"]["selector"]["matchLabels"] = {"app": "jaeger"}
    found = findings(prod, "references")
    assert len(found) == 2
    assert "PodDisruptionBudget/ztad-scoring spec.selector" in found[1] + found[0]
    assert "does not match its own pods" in found[0] + found[1]


def test_a_pipeline_of_what_is_not_configured(prod: Manifests) -> None:
    for config in prod.of("ConfigMap"):
        if config["metadata"]["name"].startswith("otel-collector"):
            config["data"]["config.yaml"] = config["data"]["config.yaml"].replace(
                "[memory_limiter, tail_sampling, batch]", "[memory_limiter, tail_samping, batch]"
            )
    [found] = findings(prod, "references")
    assert "tail_samping is not configured" in found


def test_a_script_that_is_not_mounted(prod: Manifests, service: Raw) -> None:
    mounts = container(service, 0)["volumeMounts"]
    mounts[:] = [mount for mount in mounts if mount["name"] != "drain"]
    assert "/etc/ztad/drain/drain.sh is not mounted" in findings(prod, "references")[0]


# ---- ports ----


@pytest.mark.parametrize(
    ("kind", "name", "plant", "expected"),
    [
        (
            "Service", "otel-collector", lambda spec: spec["ports"][0].update(targetPort=4319),
            "no container of its pods declares 4319; expected one of health, metrics, otlp-http",
        ),
        (
            "Service", "jaeger", lambda spec: spec.update(selector={"app": "jaeger"}),
            "{'app': 'jaeger'} picks no pod of ours",
        ),
        (
            "Ingress", "ztad",
            lambda spec: spec["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
                name="ztad-svc"
            ),
            "there is no Service ztad-svc; expected jaeger, otel-collector, ztad-head-svc",
        ),
        (
            "NetworkPolicy", "callers",
            lambda spec: spec["ingress"][0]["ports"][0].update(port=8080 + 1),
            "none of those pods declares 8081",
        ),
        (
            "NetworkPolicy", "traces-out",
            lambda spec: spec["egress"][0]["ports"][0].update(port=4317),
            "none of those pods declares 4317; expected one of 4318, 8888, 13133",
        ),
        (
            "PodMonitor", "ztad", lambda spec: spec["podMetricsEndpoints"][0].update(port="metric"),
            "no pod names a port metric; expected one of as-metrics",
        ),
        (
            "Deployment", "jaeger",
            lambda spec: spec["template"]["spec"]["containers"][0]["livenessProbe"][
                "httpGet"
            ].update(port="helth"),
            "helth is not declared; expected one of health, otlp-grpc, query",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_ports(
    prod: Manifests, kind: str, name: str, plant: Callable[[Raw], object], expected: str
) -> None:
    plant(the(prod, kind, name)["spec"])
    found = findings(prod, "ports")
    assert any(f"{kind}/{name}" in one and expected in one for one in found), found


def test_an_address_that_nobody_listens_at(prod: Manifests) -> None:
    for config in prod.of("ConfigMap"):
        if config["metadata"]["name"].startswith("ztad-ray-env"):
            config["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://otel-collector:4317"
    found = findings(prod, "ports")
    assert len(found) == 4
    assert "Service otel-collector has no port 4317; it has 4318, 8888" in found[0]


# ---- images and commands ----


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("registry.example.com/ztad-serve:0.0.9", "these manifests are of version 0.1.0; tag it"),
        ("registry.example.com/ztad-serv:0.1.0", "the Dockerfile makes no ztad-serv; expected"),
        ("registry.example.com/ztad-installer:0.1.0", "the Dockerfile makes no ztad-installer"),
        ("registry.example.com:5000/ztad-serve", "is whatever was pushed last; pin a tag"),
        ("ztad-serve:latest", "is whatever was pushed last"),
        ("ztad-serve@sha256:beef", "sha256:beef is no digest"),
    ],
)
def test_images(prod: Manifests, service: Raw, image: str, expected: str) -> None:
    container(service, 0)["image"] = image
    [found] = findings(prod, "images")
    assert "workerGroupSpecs[0].template.spec.containers[0].image" in found
    assert expected in found


def test_a_program_that_no_image_has(prod: Manifests, service: Raw) -> None:
    env = container(service, 0)["env"]
    env.append({"name": "RAY_SERVE_HAPROXY_BINARY_PATH", "value": "/usr/sbin/haproxy"})
    [found] = findings(prod, "images")
    assert "no image has /usr/sbin/haproxy; expected one of /opt/code/bin/ztad, " in found


def test_a_digest_is_as_good_as_a_tag(prod: Manifests, service: Raw) -> None:
    container(service, 0)["image"] = f"registry.example.com:5000/ztad-serve@sha256:{'a' * 64}"
    assert findings(prod, "images") == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["ztad", "trian"], "ztad has no command ['trian']"),
        (["ztad", "train", "--events", "/e"], "ztad refuses it: the following arguments are"),
        (["ztad", "models", "fetch", "--into", "/x"], "ztad refuses it: unrecognized arguments"),
        (["bash", "-c", 'true ||\n  ztad tune --minutes ten --out "$X"'], "--minutes"),
    ],
)
def test_commands_of_jobs(prod: Manifests, command: list[str], expected: str) -> None:
    spec = the(prod, "CronJob", "ztad-train")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    spec["containers"][0]["command"] = command
    [found] = findings(prod, "images")
    assert expected in found


# ---- what pods may do ----


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda c: c["securityContext"].update(privileged=True), "privileged: owns the node"),
        (lambda c: c.pop("securityContext"), "allowPrivilegeEscalation: may gain privileges"),
        (lambda c: c["securityContext"].update(runAsUser=0), "securityContext: runs as root"),
        (
            lambda c: c["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
            "capabilities: keeps some; drop: [ALL], add none",
        ),
        (
            lambda c: c["securityContext"].pop("readOnlyRootFilesystem"),
            "readOnlyRootFilesystem: may change its own programs",
        ),
        (lambda c: c["resources"]["limits"].pop("memory"), "resources.limits.memory: missing"),
        (lambda c: c["ports"][0].update(hostPort=8000), "ports: opens a port of the node"),
        (
            lambda c: c["env"].append({"name": "SMTP_PASSWORD", "value": "hunter2"}),
            "env[SMTP_PASSWORD]: a secret in plain sight; take it from a Secret",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_containers(
    prod: Manifests, service: Raw, plant: Callable[[Raw], object], expected: str
) -> None:
    plant(container(service, 0))
    found = findings(prod, "security")
    assert any(expected in one for one in found), found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda s: s.update(hostNetwork=True), "spec.hostNetwork: shares the node's; remove it"),
        (
            lambda s: s["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
            "hostPath: reaches into the node; use a claim",
        ),
        (lambda s: s["securityContext"].update(runAsUser=0), "may run as root"),
        (lambda s: s["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda s: s.pop("automountServiceAccountToken"), "is given a token it never uses"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_pods(prod: Manifests, plant: Callable[[Raw], object], expected: str) -> None:
    plant(the(prod, "Deployment", "jaeger")["spec"]["template"]["spec"])
    [found] = findings(prod, "security")
    assert found.startswith("Deployment/jaeger spec.template.spec.")
    assert expected in found


def test_the_autoscaler_is_a_container_too(prod: Manifests, service: Raw) -> None:
    service["spec"]["rayClusterConfig"]["autoscalerOptions"].pop("securityContext")
    assert any("autoscalerOptions.securityContext" in one for one in findings(prod, "security"))


def test_a_namespace_without_a_default(prod: Manifests) -> None:
    the(prod, "Namespace", "ztad")["metadata"]["labels"] = {}
    prod.objects.remove(the(prod, "NetworkPolicy", "default-deny"))
    found = findings(prod, "security")
    assert [one.partition(" ")[0] for one in found] == [
        "Namespace/ztad",
        "NetworkPolicy/default-deny",
    ]


# ---- alert rules ----


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[soc-mail]", "[sco-mail]", "sco-mail"),
        ("password_file: /etc/ztad/channels/smtp-password", "password: hunter2", "expected"),
        ("channels/smtp-password", "channels/password", "has no key password; it has SMTP_USER"),
        ("/etc/ztad/channels/", "/run/secrets/", "is not mounted in state, where alerts are sent"),
        ("${SMTP_USER}", "${SMTP_NAME}", "${SMTP_NAME} is no variable of state"),
    ],
)  # fmt: skip
def test_alert_rules(prod: Manifests, old: str, new: str, expected: str) -> None:
    config = the(prod, "ConfigMap", "ztad-alert-rules")
    config["data"]["alerts.yaml"] = config["data"]["alerts.yaml"].replace(old, new)
    [found] = findings(prod, "alert rules")
    assert expected in found
    assert "hunter2" not in found


def test_the_flags_are_those_of_one_machine() -> None:
    """Beside the checks: the file that the overlays share says so itself."""
    from services.node import FLAGS

    lines = (Path(__file__).resolve().parents[3] / "k8s" / "base" / "ray.env").read_text()
    given = dict(line.split("=", 1) for line in lines.splitlines() if not line.startswith("#"))
    assert FLAGS.items() <= given.items()
