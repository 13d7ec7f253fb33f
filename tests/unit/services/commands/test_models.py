from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ensemble.scorer import feature_schema
from models.aliases import ALIASES
from models.bundle import Bundle, write_bundle
from models.manifest import Details
from models.registry import Registry
from services.cli import main
from services.commands import models
from services.commands.registering import local_bundle


def added(registry: Registry, version: str) -> Bundle:
    home = registry.folder.parent
    details = Details(metrics={"events": 1200, "users": 7, "threshold": 0.99, "last_event": "2026"})
    made = write_bundle(
        home / "trained" / version,
        version=version,
        schema=feature_schema(),
        detectors={"autoencoder": b""},
        files={"x": version.encode()},
        details=details,
        created=f"2026-11-22T08:0{version[-1]}:00Z",
    )
    registry.register(made, registry.tracking.log_training(made, retrained_from="0"))
    return made


@pytest.fixture(autouse=True)
def _home(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTAD_HOME", str(registry.folder.parent))


@pytest.fixture
def versions(registry: Registry) -> Registry:
    """A registry with the versions 1, the champion, 2 and 3."""
    for version in ("1", "2", "3"):
        added(registry, version)
    registry.set_alias("champion", "1", by="ann")
    return registry


def test_options_repeat_what_the_registry_knows() -> None:
    assert models.ALIASES == ALIASES


def test_an_empty_registry_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        "no version is registered yet: make one with 'ztad train'\n",
    )
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_list_has_a_line_for_each_version(
    versions: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    rest = ["1,200", "7", "2026", "0.990000", "retrained 0"]
    assert cells == [
        ["3", "", "2026-11-22 08:03", *rest],
        ["2", "", "2026-11-22 08:02", *rest],
        ["1", "champion", "2026-11-22 08:01", *rest],
    ]
    assert main(["models", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["aliases"] for one in document] == [[], [], ["champion"]]


def test_show_tells_where_a_version_comes_from_and_what_it_was(
    versions: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "show", "champion"]) == 0
    told = capsys.readouterr().out
    assert "not fetched yet" in told
    assert "champion went from none to 1 by ann\n" in told
    assert main(["models", "show", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"]["retrained_from"] == "0"
    assert document["moves"] == []


def test_promote_changes_the_gateway_and_the_registry(
    versions: Registry, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--url", routing_server.url]
    assert main(["models", "promote", "2", "--alias", "challenger", "--weight", "10", *where]) == 0
    assert main(["models", "promote", "3", "--alias", "shadow", *where]) == 0
    assert main(["models", "promote", "challenger", *where]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"2: verified in {versions.folder / '2'}",
        f"{routing_server.url}: champion 1 90 %, challenger 2 10 %",
        "registry: 2 is the challenger",
        f"3: verified in {versions.folder / '3'}",
        f"{routing_server.url}: champion 1 90 %, challenger 2 10 %, shadow 3",
        "registry: 3 is the shadow",
        f"2: verified in {versions.folder / '2'}",
        f"{routing_server.url}: champion 2 100 %, shadow 3",
        "registry: 2 is the champion",
    ]
    assert versions.aliases() == {"champion": "2", "shadow": "3"}
    assert routing_server.changes == 3


def test_rollback_goes_back_in_the_gateway_and_the_registry(
    versions: Registry, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--url", routing_server.url]
    for version in ("2", "3"):
        assert main(["models", "promote", version, *where]) == 0
    for version in ("2", "1"):
        assert main(["models", "rollback", *where]) == 0
        assert routing_server.now.champion.version == version
        assert versions.aliases() == {"champion": version}
    capsys.readouterr()
    assert main(["models", "rollback", *where]) == 2
    assert "nothing to go back to" in capsys.readouterr().err


def test_a_first_shadow_goes_back_to_none(versions: Registry, routing_server: Any) -> None:
    where = ["--url", routing_server.url]
    assert main(["models", "promote", "2", "--alias", "shadow", *where]) == 0
    assert routing_server.now.shadow.version == "2"
    assert main(["models", "rollback", "--alias", "shadow", *where]) == 0
    assert routing_server.now.shadow is None
    assert versions.aliases() == {"champion": "1"}


def test_without_a_gateway_only_the_registry_changes(
    versions: Registry, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    routing_server.server_close()
    assert main(["models", "promote", "2", "--url", routing_server.url]) == 0
    told = capsys.readouterr()
    assert "only the registry is changed; 'ztad serve' starts with the champion\n" in told.err
    assert versions.aliases() == {"champion": "2"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["promote", "9"], "no version 9; there is 3, 2, 1"),
        (["promote", "2", "--alias", "shadow", "--weight", "5"], "--weight: a shadow answers nob"),
        (["promote", "2", "--weight", "50"], "there is no challenger to answer the other 50 %"),
        (["promote", "1", "--alias", "challenger"], "1 is the champion: promote another version"),
        (["promote", "2", "--weight", "101"], "'101': expected a percentage from 0 to 100"),
        (["rollback", "--alias", "challenger"], "nothing to go back to: there was no other chall"),
    ],
)
def test_what_cannot_be_changes_nothing(
    words: list[str],
    problem: str,
    versions: Registry,
    routing_server: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", *words, "--url", routing_server.url]) == 2
    assert problem in capsys.readouterr().err
    assert (routing_server.changes, versions.aliases()) == (0, {"champion": "1"})


def test_what_the_gateway_refuses_is_not_put_on_record(
    versions: Registry, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    routing_server.versions = {"1"}
    assert main(["models", "promote", "2", "--url", routing_server.url]) == 2
    assert "version 2 is not here" in capsys.readouterr().err
    assert versions.aliases() == {"champion": "1"}


def test_fetch_prints_the_folder_and_copies_it(
    versions: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch"]) == 0
    assert capsys.readouterr().out == f"{versions.folder / '1'}\n"
    to = tmp_path / "deployed"
    for version in ("1", "2"):
        assert main(["models", "fetch", version, "--to", str(to)]) == 0
        assert capsys.readouterr().out == f"{to}\n"
        assert Bundle.load(to).read("x") == version.encode()


def test_register_adds_a_bundle_once(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(content: bytes) -> None:
        write_bundle(
            tmp_path / "b",
            version="1",
            schema=feature_schema(),
            detectors={},
            files={"x": content},
            created="2026-11-22T08:00:00Z",
        )

    made(b"1")
    for told in ("registered as 1, the champion\n", "registered as 1\n"):
        assert main(["models", "register", str(tmp_path / "b")]) == 0
        assert capsys.readouterr().out == told
    made(b"2")
    assert main(["models", "register", str(tmp_path / "b")]) == 2
    assert "version 1 is registered already with other content" in capsys.readouterr().err
    experiment = registry.tracking.experiment
    assert len(registry.tracking.client.search_runs([experiment])) == 2


def test_a_bundle_may_be_given_by_its_name_in_the_registry(
    versions: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_bundle(None) == versions.folder / "1"
    assert local_bundle(Path("elsewhere")) == Path("elsewhere")
    (tmp_path / "champion").mkdir()
    assert local_bundle(Path("champion")) == Path("champion")
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path / "fresh"))
    with pytest.raises(FileNotFoundError, match=r"no version 2026-11-22\.9; none is registered"):
        local_bundle(Path("2026-11-22.9"))


def test_serve_without_any_model_names_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path / "fresh"))
    assert main(["serve", "--port", "1"]) == 2
    told = capsys.readouterr().err
    assert told.endswith(
        "ztad serve: no version is the champion; none is registered: make one with 'ztad train'\n"
    )
