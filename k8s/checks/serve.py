"""``serveConfigV2``: keys known to Serve, arguments known to the graph, room for every stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import yaml
from ray.serve.schema import DeploymentSchema, ServeDeploySchema

from k8s.checks.manifests import Checked, Manifests, Raw, name_of, templates
from k8s.checks.mounts import check_key, mount_of
from k8s.checks.places import Group, groups_of
from k8s.checks.strict import StrictLoader, problems, unknown_keys
from models import DETECTORS
from services.app import STAGES, AppArgs, Options, deployment_name

#: The stages of which there is exactly one: what they keep has one owner.
SINGLE = ("Preprocessor", "Recorder")
#: Which stage reads or writes the path in an argument, and whether it writes.
PATHS: dict[str, tuple[str, bool]] = {
    "state_dir": ("Preprocessor", True),
    "recorder.store_dir": ("Recorder", True),
    "recorder.alert_rules": ("Recorder", False),
    "keys_file": ("Gateway", False),
}
#: Read by every stage, and by the task that builds the graph, which runs on any node.
EVERYWHERE = ("bundle", "models_dir")
BASE = "spec.serveConfigV2"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a deployment asks of the cluster."""

    name: str
    least: int
    most: int
    cpus: float
    resources: dict[str, float]
    per_node: int | None


def check(manifests: Manifests) -> Checked:
    """The Serve configuration of every RayService."""
    checked = Checked(what="no RayService")
    stages = 0
    for service in manifests.ray_services:
        config = _parsed(service, checked)
        if config is None:
            continue
        name = name_of(service)
        for path, advice in unknown_keys(ServeDeploySchema, config, BASE):
            checked.add(name, path, "Serve knows no such key and would drop it", advice)
        for path, message in problems(ServeDeploySchema, config, BASE):
            checked.add(name, path, message, "see Serve's schema")
        for index, application in enumerate(config.get("applications") or []):
            path = f"{BASE}.applications[{index}]"
            stages += _check_application(manifests, service, application, path, checked)
        checked.what = f"every key known to Ray's schema and AppArgs, {stages} stages placed"
    return checked


def _parsed(service: Raw, checked: Checked) -> Raw | None:
    text = service.get("spec", {}).get("serveConfigV2") or ""
    try:
        config = yaml.load(text, StrictLoader)
    except yaml.YAMLError as error:
        checked.add(name_of(service), BASE, " ".join(str(error).split()), "correct the YAML")
        return None
    if not isinstance(config, dict):
        checked.add(name_of(service), BASE, "empty", "give it a Serve config")
        return None
    return config


def _check_application(
    manifests: Manifests, service: Raw, application: Raw, path: str, checked: Checked
) -> int:
    """Returns how many stages could be looked at."""
    name = name_of(service)
    import_path = str(application.get("import_path"))
    module, _, attribute = import_path.partition(":")
    try:
        getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        checked.add(name, f"{path}.import_path", f"cannot import {import_path}: {error}",
                    "expected services.app:build")  # fmt: skip
        return 0
    args = application.get("args") or {}
    known = True
    for at, advice in unknown_keys(AppArgs, args, f"{path}.args"):
        checked.add(name, at, "the graph knows no such argument", advice)
        known = False
    for at, message in problems(AppArgs, args, f"{path}.args"):
        if known:
            checked.add(name, at, message, "see AppArgs in services/app.py")
    _check_admission(name, args, f"{path}.args", checked)
    stages = list(_stages(name, args, f"{path}.args.deployments", checked))
    _check_places(service, stages, f"{path}.args.deployments", checked)
    _check_paths(manifests, service, stages, args, f"{path}.args", checked)
    return len(stages)


def _check_admission(name: str, args: Raw, path: str, checked: Checked) -> None:
    if args.get("auth", "keys") != "keys" or not args.get("keys_file"):
        what = "on a cluster the gateway answers holders of a key alone"
        checked.add(name, f"{path}.keys_file", what, "set auth: keys and keys_file")


def _stages(name: str, args: Raw, path: str, checked: Checked) -> Iterator[Stage]:
    """The stages with options here; those without would run wherever a tenth of a core is free."""
    given = args.get("deployments") or {}
    known = [*STAGES, *(deployment_name(detector) for detector in DETECTORS)]
    for stage in sorted(set(given) - set(known)):
        checked.add(name, f"{path}.{stage}", "no such stage", f"expected {', '.join(known)}")
    for stage in known:
        options = given.get(stage)
        if not isinstance(options, dict):
            checked.add(
                name, f"{path}.{stage}", "no resources given", "give it its group's resource"
            )
            continue
        _check_options(name, stage, options, f"{path}.{stage}", checked)
        scaling = options.get("autoscaling_config") or {}
        actor = options.get("ray_actor_options") or {}
        fixed = options.get("num_replicas") or 1
        found = Stage(
            stage,
            least=int(scaling.get("min_replicas", 1) if scaling else fixed),
            most=int(scaling.get("max_replicas", 1) if scaling else fixed),
            cpus=float(actor.get("num_cpus", 0)),
            resources=dict(actor.get("resources") or {}),
            per_node=options.get("max_replicas_per_node"),
        )
        shared = stage == "Preprocessor" and args.get("history")
        if stage in SINGLE and not shared and found.most != 1:
            fix = "one replica alone may own what it keeps: set num_replicas: 1"
            checked.add(name, f"{path}.{stage}", f"up to {found.most} replicas", fix)
        yield found


def _check_options(name: str, stage: str, options: Raw, path: str, checked: Checked) -> None:
    # What the graph does not know is told already.
    known = {key: value for key, value in options.items() if key in Options.model_fields}
    named = {"name": stage, **known}
    for at, advice in unknown_keys(DeploymentSchema, named, path):
        checked.add(name, at, "Serve knows no such key and would drop it", advice)
    for at, message in problems(DeploymentSchema, named, path):
        checked.add(name, at, message, "see Serve's DeploymentSchema")
    if "num_replicas" in options and "autoscaling_config" in options:
        checked.add(name, path, "num_replicas beside autoscaling_config", "give one of them")


def _check_places(service: Raw, stages: list[Stage], path: str, checked: Checked) -> None:
    """Every stage has one group that offers its resource, with room for its least and most."""
    name, offered = name_of(service), groups_of(service)
    for stage in stages:
        own = [resource for resource in stage.resources if resource.startswith("ztad_")]
        if len(own) != 1 or sum(own[0] in group.resources for group in offered) != 1:
            what = f"resources {sorted(stage.resources)} name no one group"
            names = sorted(resource for group in offered for resource in group.resources)
            checked.add(name, f"{path}.{stage.name}.ray_actor_options", what,
                        f"ask for one of {', '.join(names)}")  # fmt: skip
    for group in offered:
        here = [stage for stage in stages if set(stage.resources) & set(group.resources)]
        if not here:
            continue
        _check_room(name, group, here, path, checked)
        target = "explain" if any(stage.name == "Explainer" for stage in here) else "serve"
        if not group.image_target.endswith(f"ztad-{target}"):
            what = f"{group.image_target} runs {', '.join(stage.name for stage in here)}"
            checked.add(name, f"{group.path}.template", what, f"use ztad-{target}")


def _check_room(name: str, group: Group, here: list[Stage], path: str, checked: Checked) -> None:
    for which, nodes, cpus in (
        ("minReplicas", group.least, sum(stage.least * stage.cpus for stage in here)),
        ("maxReplicas", group.most, sum(stage.most * stage.cpus for stage in here)),
    ):
        if cpus > nodes * group.cpus:
            what = f"{nodes} of {group.cpus:g} cores each, and its stages ask for {cpus:g}"
            checked.add(name, f"{group.path}.{which}", what, "more pods, or fewer replicas")
    for stage in here:
        if stage.per_node and stage.most > stage.per_node * group.most:
            what = f"{stage.most} replicas, {stage.per_node} a node, on {group.most} nodes"
            fix = f"at most {stage.per_node * group.most}"
            checked.add(name, f"{path}.{stage.name}.max_replicas_per_node", what, fix)


def _given(args: Raw, argument: str) -> str:
    """The value of an argument, which may lie within another: ``recorder.store_dir``."""
    value: Any = args
    for part in argument.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return str(value or "")


def _check_paths(
    manifests: Manifests, service: Raw, stages: list[Stage], args: Raw, path: str, checked: Checked
) -> None:
    """What an argument names is mounted where the stage that uses it runs."""
    name = name_of(service)
    pods = {template.group: template for template in templates(service)}
    for argument in EVERYWHERE:
        for group, template in pods.items():
            given = str(args.get(argument) or "")
            if given and mount_of(template, given) is None:
                what = f"{given} is not mounted in {group}; any node may build the graph"
                checked.add(name, f"{path}.{argument}", what, "mount it in every group")
    for argument, (stage, writes) in PATHS.items():
        given = _given(args, argument)
        shared = argument == "state_dir" and args.get("history")
        if writes and not given and not shared:
            what = f"what the {stage} keeps would be gone with its pod"
            checked.add(name, f"{path}.{argument}", what, "name a folder on a volume")
        place = next((each for each in stages if each.name == stage), None)
        groups = [
            g.name for g in groups_of(service) if place and set(place.resources) & set(g.resources)
        ]
        if not given or not groups or groups[0] not in pods:
            continue
        mount = mount_of(pods[groups[0]], given)
        if mount is None:
            what = f"{given} is not mounted in {groups[0]}, where the {stage} runs"
            checked.add(name, f"{path}.{argument}", what, "mount it there")
        elif writes and mount.get("readOnly"):
            what = f"{given} is mounted read-only in {groups[0]}, and the {stage} writes there"
            checked.add(name, f"{path}.{argument}", what, "let it be written")
        elif not writes:
            check_key(
                manifests, pods[groups[0]], mount, given, (name, f"{path}.{argument}"), checked
            )
