"""What can be known of compose.yaml without Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.backends.kafka import VERSION
from services.cli import _parser
from services.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
SECRET = re.compile(r"\$\{[A-Z_]+:\?set it in \.env\}")


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def test_every_service_is_there() -> None:
    assert set(SERVICES) == {"model", "ztad", "postgres", "redis", "kafka", "jaeger"}


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_or_made_by_the_dockerfile(service: str) -> None:
    image, build = SERVICES[service]["image"], SERVICES[service].get("build")
    name, _, tag = image.rpartition(":")
    assert name
    assert re.search(r"\d+\.\d+", tag), f"{image} is whatever was pushed last"
    if build:
        stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        assert build["target"] in stages
        assert name == f"ztad-{build['target']}"


def test_versions_are_those_that_are_tested_with() -> None:
    jaeger = re.search(r"^IMAGE=(\S+)$", (ROOT / "k8s/jaeger/run.sh").read_text(), re.MULTILINE)
    assert jaeger is not None
    assert SERVICES["jaeger"]["image"] == jaeger[1]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_open_on_loopback_alone(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_are_not_in_the_file(service: str) -> None:
    secrets = [
        value for name, value in environment(service).items() if re.search("PASSWORD|KEYS", name)
    ]
    assert all(SECRET.fullmatch(value) for value in secrets)


def test_settings_are_ours_and_are_accepted() -> None:
    given = {name: value for name, value in environment("ztad").items() if name[:5] == "ZTAD_"}
    assert set(given) <= {f"ZTAD_{name.upper()}" for name in Settings.model_fields}
    settings = load(given)
    assert settings.database == "postgresql://ztad@postgres:5432/ztad"
    assert settings.history == "redis://redis:6379/0"


def test_commands_parse() -> None:
    lines = [SERVICES["ztad"]["command"]]
    lines += [line.split() for line in SERVICES["model"]["command"][-1].splitlines()
              if line.startswith("ztad ")]  # fmt: skip
    assert [words[1] for words in lines] == ["serve", "generate", "train"]
    for words in lines:
        assert _parser(words[1:]).parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_exists(service: str) -> None:
    volumes = yaml.safe_load((ROOT / "compose.yaml").read_text())["volumes"]
    for mount in SERVICES[service].get("volumes", []):
        source = mount.split(":")[0]
        assert source in volumes or (ROOT / source).exists()
