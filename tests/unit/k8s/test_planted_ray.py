"""Mistakes in the RayService and its Serve configuration: found, at their field, with a fix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from k8s.checks.manifests import Manifests
from tests.unit.k8s.planting import Change, Raw, args, findings

# ---- the Serve config ----


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (
            lambda config: config["applications"][0].update(route_prefx="/"),
            "applications[0].route_prefx: Serve knows no such key and would drop it; did you mean",
        ),
        (
            lambda config: config["http_options"].update(prot=8000),
            "http_options.prot: Serve knows no such key",
        ),
        (
            lambda config: args(config)["deployments"]["Gateway"].update(max_ongoing_request=9),
            "Gateway.max_ongoing_request: the graph knows no such argument; did you mean max_ongoi",
        ),
        (
            lambda config: args(config)["deployments"]["Combiner"]["autoscaling_config"].update(
                max_ongoing_requests=9
            ),
            "Combiner.autoscaling_config.max_ongoing_requests: Serve knows no such key",
        ),
        (lambda config: args(config).update(bundel="/x"), "args.bundel: the graph knows no such"),
        (lambda config: args(config).pop("bundle"), "args.bundle: Field required"),
        (
            lambda config: args(config)["deployments"]["Preprocessor"].update(num_replicas=2),
            "Preprocessor: up to 2 replicas; one replica alone may own what it keeps",
        ),
        (
            lambda config: args(config)["deployments"].update(Recoder={"num_replicas": 1}),
            "deployments.Recoder: no such stage; expected Gateway",
        ),
        (lambda config: args(config).update(auth="none"), "args.keys_file: on a cluster the"),
        (
            lambda config: config["applications"][0].update(import_path="services.app:biuld"),
            "import_path: cannot import services.app:biuld",
        ),
        (
            lambda config: args(config).update(state_dir="/somewhere"),
            "args.state_dir: /somewhere is not mounted in state, where the Preprocessor runs",
        ),
        (
            lambda config: args(config).update(state_dir="/ztad/history"),
            "args.state_dir: /ztad/history is mounted read-only in state",
        ),
        (
            lambda config: args(config)["recorder"].pop("store_dir"),
            "args.recorder.store_dir: what the Recorder keeps would be gone with its pod",
        ),
        (
            lambda config: args(config)["recorder"].update(most_byte=1),
            "args.recorder.most_byte: the graph knows no such argument; did you mean most_bytes?",
        ),
        (
            lambda config: args(config).update(keys_file="/etc/ztad/keys/key.json"),
            "args.keys_file: Secret ztad-api-keys has no key key.json; it has keys.json",
        ),
        (
            lambda config: args(config).update(bundle="/models/champion"),
            "/models/champion is not mounted in head; any node may build the graph",
        ),
        (
            lambda config: args(config)["deployments"]["Gateway"]["ray_actor_options"].update(
                resources={"ztad_scroing": 1}
            ),
            "resources ['ztad_scroing'] name no one group; ask for one of ztad_explain",
        ),
        (
            lambda config: args(config)["deployments"]["Explainer"]["ray_actor_options"].update(
                resources={"ztad_scoring": 1}
            ),
            "registry.example.com/ztad-serve runs Gateway",
        ),
        (
            lambda config: args(config)["deployments"]["Gateway"]["autoscaling_config"].update(
                max_replicas=20
            ),
            "maxReplicas: 8 of 5 cores each, and its stages ask for 52; more pods",
        ),
        (
            lambda config: args(config)["deployments"]["Gateway"].update(num_replicas=2),
            "Gateway: num_replicas beside autoscaling_config; give one of them",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_serve_config(
    prod: Manifests, serve_config: Change, plant: Callable[[Raw], object], expected: str
) -> None:
    serve_config(plant)
    found = findings(prod, "serve config")
    assert any(expected in one for one in found), found
    assert all("RayService/ztad spec." in one for one in found)


def test_a_key_given_twice(prod: Manifests, service: Raw) -> None:
    service["spec"]["serveConfigV2"] += "proxy_location: HeadOnly\n"
    assert "proxy_location twice" in findings(prod, "serve config")[0]


# ---- what KubeRay refuses, and its traps ----


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda c: c.update(rayVersion="2.59.0"), "rayVersion: 2.59.0, and the images have Ray"),
        (lambda c: c.pop("authOptions"), "authOptions.mode: whoever reaches Ray's ports"),
        (
            lambda c: c["authOptions"].update(enableK8sTokenAuth=True),
            "enableK8sTokenAuth: refused by KubeRay for a RayService; remove it",
        ),
        (lambda c: c.update(networkPolicy={}), "feature gate RayClusterNetworkPolicy is on"),
        (lambda c: c.update(upgradeStrategy={"type": "None"}), "set spec.upgradeStrategy instead"),
        (
            lambda c: c["headGroupSpec"]["rayStartParams"].update({"num-cpus": "4"}),
            "headGroupSpec.rayStartParams.num-cpus: replicas could run on the head",
        ),
        (lambda c: c["autoscalerOptions"].update(version="v1"), "autoscalerOptions.version"),
        (
            lambda c: c["workerGroupSpecs"][0].update(resources={"CPU": "4"}),
            "workerGroupSpecs[0].resources: refused by KubeRay: in resources and in rayStart",
        ),
        (
            lambda c: c["workerGroupSpecs"][0].update(minReplicas=9),
            "workerGroupSpecs[0].minReplicas: 9 to 8; 0 <= minReplicas",
        ),
        (
            lambda c: c["workerGroupSpecs"][1]["template"]["spec"].update(restartPolicy="Always"),
            "restartPolicy: refused by KubeRay with autoscaler v2",
        ),
        (
            lambda c: c["gcsFaultToleranceOptions"].update(externalStorageNamespace="x"),
            "externalStorageNamespace: two clusters would share one head's tables",
        ),
        (
            lambda c: c["gcsFaultToleranceOptions"].update(redisPassword={"value": "hunter2"}),
            "redisPassword.value: readable by everybody; use valueFrom",
        ),
        (
            lambda c: c["headGroupSpec"]["template"]["spec"]["containers"][0].update(envFrom=[]),
            "containers[0].envFrom: RAY_SERVE_THROUGHPUT_OPTIMIZED is not set, on one machine it",
        ),
        (
            lambda c: c["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].pop(
                "lifecycle"
            ),
            "lifecycle.preStop: replicas would be cut off; drain first",
        ),
        (
            lambda c: c["workerGroupSpecs"][0]["template"]["spec"].update(
                terminationGracePeriodSeconds=30
            ),
            "terminationGracePeriodSeconds: 30 s; at least 90 for the drain",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_ray_cluster(
    prod: Manifests, service: Raw, plant: Callable[[Raw], object], expected: str
) -> None:
    plant(service["spec"]["rayClusterConfig"])
    found = findings(prod, "ray")
    assert any(expected in one for one in found), found


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (
            lambda spec: spec.update(upgradeStrategy={"type": "NewCluster"}),
            "spec.upgradeStrategy.type: a second cluster would wait for the volume that the first",
        ),
        (
            lambda spec: spec.update(upgradeStrategy={"type": "Rolling"}),
            "spec.upgradeStrategy.type: 'Rolling' is refused by KubeRay; expected NewCluster",
        ),
        (
            lambda spec: spec.update(
                upgradeStrategy={
                    "type": "NewClusterWithIncrementalUpgrade",
                    "clusterUpgradeOptions": {
                        "maxSurgePercent": 20, "stepSizePercent": 50, "intervalSeconds": 60,
                        "gatewayClassName": "istio",
                    },
                }
            ),
            "0 <= stepSizePercent <= maxSurgePercent <= 100",
        ),
        (lambda spec: spec.pop("excludeHeadPodFromServeSvc"), "requests would go to the head"),
        (
            lambda spec: spec.update(serviceUnhealthySecondThreshold=300),
            "serviceUnhealthySecondThreshold: KubeRay no longer reads it; remove it",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_ray_service(
    prod: Manifests, service: Raw, plant: Callable[[Raw], object], expected: str
) -> None:
    plant(service["spec"])
    found = findings(prod, "ray")
    assert any(expected in one for one in found), found
