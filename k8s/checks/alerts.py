"""Alert rules: the file that the Recorder reads is one it would take, secrets and all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from alerting.rules import load
from alerting.strict import RulesError
from k8s.checks.manifests import Checked, Manifests
from k8s.checks.mounts import check_key, mount_of

CONFIG = "ztad-alert-rules"
FILE = "alerts.yaml"
#: Where the Recorder runs.
GROUP = "state"


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
    files = list(_files(yaml.safe_load(text), ""))
    for template in manifests.templates:
        if template.group != GROUP:
            continue
        for path, file in files:
            mount = mount_of(template, file)
            if mount is None:
                what = f"{file} is not mounted in {GROUP}, where alerts are sent"
                checked.add(where[0], f"{where[1]}{path}", what, "mount its Secret")
            else:
                check_key(
                    manifests, template, mount, file, (where[0], f"{where[1]}{path}"), checked
                )
    checked.what = f"{len(rules.channels)} channels, {len(files)} files of secrets"
    return checked


def _files(document: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where a key ends in ``_file``, and the file that it names."""
    if isinstance(document, dict):
        for key, value in document.items():
            if str(key).endswith("_file") and isinstance(value, str):
                yield f"{path}.{key}", value
            else:
                yield from _files(value, f"{path}.{key}")
