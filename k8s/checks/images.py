"""Images that the Dockerfile makes, or that somebody has released; and what jobs run in them."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import NoReturn

from k8s.checks.manifests import ROOT, Checked, Manifests, Raw, Template, environment
from services.cli import COMMANDS

TARGET = re.compile(r"^FROM \S+ AS (\S+)$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: The stages of the Dockerfile that are shipped; the others build them.
SHIPPED = ("serve", "explain", "train")
#: Where the images have our own programs, and the variable that names one of them.
PROGRAMS = "/opt/code/bin"
LAUNCHER = "RAY_SERVE_HAPROXY_BINARY_PATH"


def check(manifests: Manifests) -> Checked:
    """Every image is pinned, ours are targets of the Dockerfile at this version, commands parse."""
    checked = Checked()
    targets = set(TARGET.findall((ROOT / "Dockerfile").read_text())) & set(SHIPPED)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version, programs = project["version"], {f"{PROGRAMS}/{name}" for name in project["scripts"]}
    images, commands = set(), 0
    for template in manifests.templates:
        for path, container in template.every_container:
            image = str(container.get("image", ""))
            images.add(image)
            _check_image(template, f"{path}.image", image, (targets, version), checked)
            launcher = environment(manifests, container).get(LAUNCHER)
            if launcher is not None and launcher not in programs:
                checked.add(template.owner, f"{path} {LAUNCHER}", f"no image has {launcher}",
                            f"expected one of {', '.join(sorted(programs))}")  # fmt: skip
            for words in _commands(container):
                commands += 1
                _check_command(template, f"{path}.command", words, checked)
    checked.what = f"{len(images)} images, {commands} commands of jobs"
    return checked


def _check_image(
    template: Template, path: str, image: str, ours: tuple[set[str], str], checked: Checked
) -> None:
    targets, version = ours
    name, _, digest = image.partition("@")
    repository, _, tag = name.partition(":") if "/" not in name else _split(name)
    if digest:
        if not DIGEST.fullmatch(digest):
            checked.add(template.owner, path, f"{digest} is no digest", "sha256: and 64 digits")
    elif not tag or tag == "latest":
        checked.add(
            template.owner, path, f"{image} is whatever was pushed last", "pin a tag or digest"
        )
    last = repository.rpartition("/")[2]
    if not last.startswith("ztad"):
        return
    if last.removeprefix("ztad-") not in targets:
        names = ", ".join(f"ztad-{target}" for target in sorted(targets))
        checked.add(template.owner, path, f"the Dockerfile makes no {last}", f"expected {names}")
    elif not digest and tag and tag not in (version, "latest"):
        checked.add(template.owner, path, f"{image}: these manifests are of version {version}",
                    f"tag it {version}, or pin a digest")  # fmt: skip


def _split(name: str) -> tuple[str, str, str]:
    """Repository and tag of a name that may have a registry's port in it."""
    folder, _, last = name.rpartition("/")
    base, colon, tag = last.partition(":")
    return f"{folder}/{base}", colon, tag


def _commands(container: Raw) -> Iterator[list[str]]:
    """What follows ``ztad`` in each call of it, also in a line that a shell is given."""
    words = [str(word) for word in (*container.get("command", []), *container.get("args", []))]
    lines = [words]
    if words[:2] == ["bash", "-c"]:
        calls = re.split(r"\|\||&&|;|\n", words[2].replace("||\n", "||"))
        lines = [shlex.split(call) for call in calls if call.strip().startswith("ztad ")]
    for line in lines:
        if line[:1] == ["ztad"]:
            yield line[1:]


class _Refused(Exception):
    """A command line that ztad would refuse."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


def _check_command(template: Template, path: str, words: Sequence[str], checked: Checked) -> None:
    if not words or words[0] not in COMMANDS:
        fix = f"expected one of {', '.join(COMMANDS)}"
        checked.add(template.owner, path, f"ztad has no command {words[:1]}", fix)
        return
    parser = _Parser(prog="ztad", allow_abbrev=False)
    import_module(COMMANDS[words[0]]).add_parser(parser.add_subparsers(dest="command"))
    try:
        parser.parse_args(list(words))
    except _Refused as error:
        checked.add(
            template.owner, path, f"ztad refuses it: {error}", f"see ztad {words[0]} --help"
        )
