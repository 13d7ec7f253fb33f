"""The graph as it is composed: arguments checked, options where they belong, one history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from models import DETECTORS
from models.bundle import Bundle
from models.manifest import BundleError
from services.app import AppArgs, MoreThanOneReplica, NobodyAdmitted, build, deployment_name


def deployments(application: Application) -> dict[str, Any]:
    """Every deployment of a graph by name, found from its ingress."""
    found: dict[str, Any] = {}
    left: list[object] = [application]
    while left:
        one = left.pop()
        if isinstance(one, Application):
            bound = one._bound_deployment
            found[bound.name] = bound
            left += bound.init_args
        elif isinstance(one, dict):
            left += one.values()
    return found


def args(bundle: Bundle, **given: Any) -> AppArgs:
    return AppArgs(**{"bundle": str(bundle.path), "auth": "none", **given})


def test_serve_makes_arguments_of_a_plain_mapping(bundle: Bundle) -> None:
    """As ``serve run`` and a RayService hand them over."""
    builder: Any = build  # Ray's types ask for more than a function
    whole = {"bundle": str(bundle.path), "auth": "none"}
    application = call_user_app_builder_with_args_if_necessary(builder, whole)
    assert deployments(application)
    with pytest.raises(ValidationError, match="bundel"):
        call_user_app_builder_with_args_if_necessary(builder, {"bundel": "/models"})


def test_asking_for_keys_and_knowing_none(bundle: Bundle) -> None:
    with pytest.raises(NobodyAdmitted, match=r"keys_file.*ztad keys create.*auth: none"):
        build(AppArgs(bundle=str(bundle.path)))
    build(args(bundle, auth="keys", keys_file="/etc/ztad/keys.json"))
    build(args(bundle, auth="keys", api_key_hashes=["0" * 64]))


def test_answering_this_machine_alone_behind_a_proxy_that_hides_who_asks(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.app.RAY_SERVE_ENABLE_HA_PROXY", True)
    with pytest.raises(NobodyAdmitted, match="RAY_SERVE_ENABLE_HA_PROXY"):
        build(args(bundle))
    monkeypatch.setattr("services.app.RAY_SERVE_HAPROXY_BINARY_PATH", "/tmp/x/ztad-haproxy")
    build(args(bundle))


def test_one_deployment_per_stage_and_detector(bundle: Bundle) -> None:
    stages = {"Gateway", "Preprocessor", "Combiner", "Explainer", "Recorder"}
    detectors = {deployment_name(name) for name in bundle.detectors}
    assert set(deployments(build(args(bundle)))) == stages | detectors


def test_every_detector_has_a_deployment_name() -> None:
    names = [deployment_name(name) for name in DETECTORS]
    assert len(set(names)) == len(DETECTORS)


def test_options_reach_their_deployment_and_no_other(bundle: Bundle) -> None:
    options = {
        "Combiner": {"num_replicas": 2, "max_ongoing_requests": 7},
        "Gateway": {"ray_actor_options": {"num_cpus": 1}, "graceful_shutdown_timeout_s": 9.0},
    }
    found = deployments(build(args(bundle, deployments=options)))
    assert (found["Combiner"].num_replicas, found["Combiner"].max_ongoing_requests) == (2, 7)
    assert found["Gateway"].ray_actor_options["num_cpus"] == 1
    assert found["Gateway"].max_queued_requests == 2_000, "defaults stay"
    assert found["Explainer"].num_replicas == 1
    assert found["Preprocessor"].max_ongoing_requests == 64


def test_autoscaling_takes_the_place_of_a_fixed_number(bundle: Bundle) -> None:
    scaling = {"min_replicas": 1, "max_replicas": 3}
    options = {"IsolationForest": {"num_replicas": 2, "autoscaling_config": scaling}}
    found = deployments(build(args(bundle, deployments=options)))["IsolationForest"]
    assert found._deployment_config.autoscaling_config.max_replicas == 3


@pytest.mark.parametrize(
    "options",
    [
        {"num_replicas": 2},
        {"autoscaling_config": {"min_replicas": 1, "max_replicas": 2}},
        {"num_replicas": 1, "autoscaling_config": {"initial_replicas": 5, "max_replicas": 5}},
    ],
)
@pytest.mark.parametrize("name", ["Preprocessor", "Recorder"])
def test_two_histories_or_stores_are_refused(
    bundle: Bundle, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(MoreThanOneReplica, match=rf"deployments\.{name}"):
        build(args(bundle, deployments={name: options}))


def test_a_shared_history_has_as_many_replicas_as_wanted(bundle: Bundle) -> None:
    options = {"Preprocessor": {"num_replicas": 3}}
    with pytest.raises(MoreThanOneReplica, match="unless 'history' names a Redis"):
        build(args(bundle, deployments=options))
    given = args(bundle, deployments=options, history="redis://history:6379/0")
    assert deployments(build(given))["Preprocessor"].num_replicas == 3


def test_a_history_whose_address_tells_a_password_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValidationError, match="ZTAD_REDIS_PASSWORD") as refused:
        args(bundle, history="redis://:s3cret@history")
    assert "s3cret" not in str(refused.value)


def test_one_history_by_autoscaling(bundle: Bundle) -> None:
    options = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 1}}
    build(args(bundle, deployments={"Preprocessor": options}))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bundel": "x"}, "bundel"),
        ({"deployments": {"Gateway": {"replicas": 2}}}, "deployments.Gateway.replicas"),
        ({"deployments": {"Gateway": {"num_replicas": "many"}}}, "deployments.Gateway"),
        ({"recorder": {"most_bytes": 1}}, "recorder.most_bytes"),
    ],
)
def test_unknown_and_wrong_arguments_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AppArgs.model_validate({"bundle": "b", **given})
    assert ".".join(str(step) for step in refused.value.errors()[0]["loc"]).startswith(named)


def test_a_deployment_that_does_not_exist(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"deployments\.Combinator.*Combiner"):
        build(args(bundle, deployments={"Combinator": {"num_replicas": 2}}))


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        build(AppArgs(bundle=str(tmp_path)))
