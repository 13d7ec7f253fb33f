import json
from pathlib import Path

import pytest

from models.bundle import Bundle, write_bundle
from models.manifest import Schema
from models.registry import Registry
from services.cli import main
from services.commands.registering import Kept, write_registered


def kept(registry: Registry, out: Path, content: bytes = b"1", **alias: str) -> Kept:
    def write(version: str) -> Bundle:
        return write_bundle(
            out, version=version, schema=Schema("s", ()), detectors={}, files={"x": content}
        )

    return write_registered(write, out, registry, alias.get("alias"))  # type: ignore[arg-type]


def test_the_first_version_is_the_champion_and_later_ones_wait(
    registry: Registry, tmp_path: Path
) -> None:
    first = kept(registry, tmp_path / "a")
    second = kept(registry, tmp_path / "b")
    assert (first.registered, first.alias, second.registered, second.alias) == (
        True,
        "champion",
        True,
        None,
    )
    assert registry.aliases() == {"champion": first.bundle.version}


def test_a_version_may_become_what_is_asked_for(registry: Registry, tmp_path: Path) -> None:
    first = kept(registry, tmp_path / "a")
    second = kept(registry, tmp_path / "b", alias="challenger")
    assert registry.aliases() == {
        "champion": first.bundle.version,
        "challenger": second.bundle.version,
    }


def test_versions_of_two_folders_differ(registry: Registry, tmp_path: Path) -> None:
    versions = [kept(registry, tmp_path / name).bundle.version for name in ("a", "b", "a")]
    assert [version.rpartition(".")[2] for version in versions] == ["1", "2", "3"]


def test_a_version_taken_in_the_meantime_is_left_to_who_took_it(
    registry: Registry, tmp_path: Path
) -> None:
    """Another training registers between our looking and our registering."""
    written: list[str] = []

    def write(version: str) -> Bundle:
        if not written:
            kept(registry, tmp_path / "theirs", b"theirs")
        written.append(version)
        return write_bundle(
            tmp_path / "ours", version=version, schema=Schema("s", ()), detectors={}, files={}
        )

    ours = write_registered(write, tmp_path / "ours", registry, None)
    assert ours.registered
    assert [version.rpartition(".")[2] for version in written] == ["1", "2"]
    assert Bundle.load(tmp_path / "ours").version == ours.bundle.version == written[1]
    runs = {one.run for one in registry.versions()}
    assert len(runs) == 2
    told = registry.tracking.client.get_run(registry.version(written[1]).run)
    assert (told.info.run_name, told.data.tags["ztad.version"]) == (written[1], written[1])


def test_a_broken_registry_costs_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file where a directory should be")
    ours = kept(Registry(tmp_path / "home"), tmp_path / "b")
    assert (ours.registered, ours.alias) == (False, None)
    assert Bundle.load(tmp_path / "b").version == ours.bundle.version
    told = capsys.readouterr().err
    assert told.startswith("ztad train: warning: registry sqlite:///")
    assert f"once that is mended: ztad models register {tmp_path / 'b'}\n" in told


def test_train_registers(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ZTAD_HOME", str(registry.folder.parent))
    rows = [f"2026-01-01T{hour:02d}:00:00Z,ann,success\n" for hour in range(24)]
    (tmp_path / "events.csv").write_text("timestamp,user_id,outcome\n" + "".join(rows))
    words = ["--events", str(tmp_path / "events.csv"), "--out", str(tmp_path / "b")]
    assert main(["train", *words]) == 0
    (version,) = registry.versions()
    assert version.aliases == ("champion",)
    assert version.metrics["events"] == 24
    told = capsys.readouterr()
    assert f"registered as {version.version}, the champion\n" in told.out
    assert told.out.endswith("or: ztad serve\n")
    assert "mlflow" not in told.err.lower()
    manifest = json.loads((registry.fetch("champion") / "manifest.json").read_text())
    assert manifest["version"] == version.version
