"""Alert rules: the file that the Recorder reads is one it would take, secrets and all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from alerting.rules import load
from alerting.strict import RulesError
from k8s.checks.manifests import Checked, Manifests, Raw, environment
from k8s.checks.mounts import check_key, keys_of, mount_of

CONFIG = "ztad-alert-rules"
FILE = "alerts.yaml"
#: Where the Recorder runs.
GROUP = "state"
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def check(manifests: Manifests) -> Checked:
    """The rules themselves, and every file of a secret that they name."""
    checked = Checked(what="no rules")
    config = manifests.named("ConfigMap", CONFIG)
    text = ((config or {}).get("data") or {}).get(FILE)
    if text is None:
        return checked
    where = (f"ConfigMap/{CONFIG}", f"data[{FILE}]")
    try:
        rules = load(text.encode())
    except RulesError as error:
        checked.add(*where, str(error), "see alerting/example.yaml")
        return checked
    document = yaml.safe_load(text)
    files, variables = list(_files(document, "")), set(VARIABLE.findall(str(document)))
    for template in manifests.templates:
        if template.group != GROUP:
            continue
        for variable in sorted(variables - _variables(manifests, template.containers[0])):
            what = f"${{{variable}}} is no variable of {GROUP}, where alerts are sent"
            checked.add(*where, what, "give it a key of that name in a Secret of its envFrom")
        for path, file in files:
            mount = mount_of(template, file)
            if mount is None:
                what = f"{file} is not mounted in {GROUP}, where alerts are sent"
                checked.add(where[0], f"{where[1]}{path}", what, "mount its Secret")
            else:
                check_key(
                    manifests, template, mount, file, (where[0], f"{where[1]}{path}"), checked
                )
    secrets = len(files) + len(variables)
    checked.what = f"{len(rules.channels)} channels, {secrets} secrets"
    return checked


def _variables(manifests: Manifests, container: Raw) -> set[str]:
    """Names of a container's variables, those that it has from Secrets too."""
    found = set(environment(manifests, container))
    found |= {each["name"] for each in container.get("env", [])}
    for source in container.get("envFrom", []):
        found |= set(
            keys_of(manifests, "Secret", source.get("secretRef", {}).get("name", "")) or []
        )
    return found


def _files(document: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where a key ends in ``_file``, and the file that it names."""
    if isinstance(document, dict):
        for key, value in document.items():
            if str(key).endswith("_file") and isinstance(value, str):
                yield f"{path}.{key}", value
            else:
                yield from _files(value, f"{path}.{key}")
