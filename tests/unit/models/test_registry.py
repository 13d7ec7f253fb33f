import threading
from pathlib import Path
from typing import Any

import pytest

from models.aliases import Alias
from models.bundle import Bundle, write_bundle
from models.manifest import Details, Schema
from models.registry import (
    AliasRefused,
    InvalidVersion,
    ModelVersion,
    OtherContent,
    Registry,
    TamperedArtifact,
    UnknownVersion,
    VersionTaken,
)
from models.tracking import RegistryUnavailable

SCHEMA = Schema("s1", ("a", "b"))


def bundle(home: Path, version: str, content: bytes = b"1", folder: str = "") -> Bundle:
    details = Details(metrics={"events": 3, "last_event": "2026-11-21"}, fingerprint="f00d")
    return write_bundle(
        home / "trained" / (folder or version),
        version=version,
        schema=SCHEMA,
        detectors={"isolation_forest": b"onnx"},
        files={"ensemble.json": content},
        details=details,
        created=f"2026-11-22T08:00:0{version[-1]}Z",
    )


def added(registry: Registry, version: str, content: bytes = b"1") -> ModelVersion:
    made = bundle(registry.folder.parent, version, content)
    return registry.register(made, registry.tracking.log_training(made))


def by_ann(registry: Registry, alias: Alias, version: str) -> None:
    registry.set_alias(alias, version, by="ann")


def test_before_anything_is_registered_nothing_is_made(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert (registry.versions(), registry.aliases(), registry.history()) == ([], {}, [])
    with pytest.raises(UnknownVersion, match="none is registered: make one with 'ztad train'"):
        registry.fetch("champion")
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_told_as_it_was_made(registry: Registry) -> None:
    made = bundle(registry.folder.parent, "2026-11-22.1")
    search = registry.tracking.start_search("search", settings={})
    run = registry.tracking.log_training(made, parent=search, retrained_from="2026-11-01.1")
    assert registry.register(made, run) == ModelVersion(
        version="2026-11-22.1",
        created="2026-11-22T08:00:01Z",
        aliases=(),
        detectors=("isolation_forest",),
        metrics={"events": 3, "last_event": "2026-11-21"},
        fingerprint="f00d",
        checksum=made.manifest.checksum,
        run=run,
        parent=search,
        retrained_from="2026-11-01.1",
    )


def test_the_newest_version_comes_first(registry: Registry) -> None:
    for version in ("2026-11-22.2", "2026-11-22.1", "2026-11-22.3"):
        added(registry, version)
    told = [one.version for one in registry.versions()]
    assert told == ["2026-11-22.3", "2026-11-22.2", "2026-11-22.1"]


def test_a_version_is_registered_once(registry: Registry) -> None:
    first = added(registry, "2026-11-22.1")
    assert added(registry, "2026-11-22.1") == first
    with pytest.raises(VersionTaken, match=r"2026-11-22.1 is registered already with other"):
        added(registry, "2026-11-22.1", content=b"other")
    assert registry.versions() == [first]


@pytest.mark.parametrize("version", ["champion", "../../etc", "a/b", ".hidden", ""])
def test_a_version_must_do_as_the_name_of_a_folder(registry: Registry, version: str) -> None:
    made = bundle(registry.folder.parent, version or " ", folder="b")
    with pytest.raises(InvalidVersion):
        registry.register(made, registry.tracking.log_training(made))


def test_of_two_that_claim_one_version_the_first_has_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looks before the first has registered, and registers after it."""
    first = added(registry, "2026-11-22.1")
    entries, looked = registry._entries, iter([dict[str, Any]()])
    monkeypatch.setattr(registry, "_entries", lambda: next(looked, entries()))
    with pytest.raises(VersionTaken):
        added(registry, "2026-11-22.1", content=b"other")
    assert registry.versions() == [first]
    assert Bundle.load(registry.fetch(first.version)).read("ensemble.json") == b"1"


def test_many_may_register_at_the_same_time(registry: Registry) -> None:
    home = registry.folder.parent
    everyone = [(f"2026-11-22.{1 + n % 2}", b"%d" % n) for n in range(6)]
    made = [bundle(home, version, text, folder=text.decode()) for version, text in everyone]
    start = threading.Barrier(len(made))
    refused: list[str] = []

    def register(one: Bundle) -> None:
        mine = Registry(home)
        run = mine.tracking.log_training(one)
        start.wait()
        try:
            mine.register(one, run)
        except VersionTaken:
            refused.append(one.version)

    threads = [threading.Thread(target=register, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refused) == ["2026-11-22.1"] * 2 + ["2026-11-22.2"] * 2
    assert sorted(one.version for one in registry.versions()) == ["2026-11-22.1", "2026-11-22.2"]


def test_an_alias_names_one_version_and_a_version_has_one(registry: Registry) -> None:
    for version in ("1", "2", "3"):
        added(registry, version)
    by_ann(registry, "champion", "1")
    by_ann(registry, "challenger", "2")
    by_ann(registry, "shadow", "3")
    assert registry.aliases() == {"champion": "1", "challenger": "2", "shadow": "3"}
    by_ann(registry, "champion", "2")
    assert registry.aliases() == {"champion": "2", "shadow": "3"}
    registry.remove_alias("shadow", by="ann")
    assert registry.aliases() == {"champion": "2"}
    assert registry.version("champion").version == "2"


def test_there_is_always_a_champion(registry: Registry) -> None:
    added(registry, "1")
    by_ann(registry, "champion", "1")
    with pytest.raises(AliasRefused, match="1 is the champion: promote another version"):
        by_ann(registry, "shadow", "1")
    with pytest.raises(AliasRefused, match="there must be a champion"):
        registry.remove_alias("champion", by="ann")
    assert registry.aliases() == {"champion": "1"}


def test_an_alias_names_only_what_is_registered(registry: Registry) -> None:
    added(registry, "1")
    with pytest.raises(UnknownVersion, match="no version 2; there is 1"):
        by_ann(registry, "champion", "2")
    with pytest.raises(UnknownVersion, match="no version is the champion; there is 1"):
        registry.fetch("champion")


def test_every_move_of_an_alias_is_on_record_after_a_restart(registry: Registry) -> None:
    for version in ("1", "2"):
        added(registry, version)
    by_ann(registry, "champion", "1")
    by_ann(registry, "champion", "1")
    registry.set_alias("champion", "2", by="bob")
    registry.rollback("champion", by="eve")
    again = Registry(registry.folder.parent)
    told = [(move.alias, move.before, move.after, move.by, move.back) for move in again.history()]
    assert told == [
        ("champion", "", "1", "ann", False),
        ("champion", "1", "2", "bob", False),
        ("champion", "2", "1", "eve", True),
    ]
    assert all(move.at.endswith("Z") for move in again.history())


def test_going_back_twice_goes_back_two_moves(registry: Registry) -> None:
    for version in ("1", "2", "3"):
        added(registry, version)
        by_ann(registry, "champion", version)
    assert registry.rollback("champion", by="ann") == "2"
    assert registry.rollback("champion", by="ann") == "1"
    with pytest.raises(AliasRefused, match="nothing to go back to"):
        registry.rollback("champion", by="ann")
    assert registry.aliases() == {"champion": "1"}


def test_a_shadow_may_go_back_to_none(registry: Registry) -> None:
    added(registry, "1")
    by_ann(registry, "shadow", "1")
    assert registry.rollback("shadow", by="ann") == ""
    assert registry.aliases() == {}


def test_a_fetched_bundle_is_the_registered_one(registry: Registry) -> None:
    added(registry, "1")
    by_ann(registry, "champion", "1")
    folder = registry.fetch("champion")
    assert folder == registry.fetch("1") == registry.folder / "1"
    assert Bundle.load(folder).read("ensemble.json") == b"1"
    assert sorted(file.name for file in folder.iterdir()) == [
        "ensemble.json",
        "isolation_forest.onnx",
        "manifest.json",
    ]
    assert [path.name for path in registry.folder.iterdir()] == ["1"]


def stored(registry: Registry, name: str) -> Path:
    """Where MLflow keeps a file of the only version."""
    (found,) = (registry.folder.parent / "registry" / "artifacts").rglob(name)
    return found


@pytest.mark.parametrize("name", ["ensemble.json", "isolation_forest.onnx", "manifest.json"])
def test_a_changed_artifact_is_refused_and_nothing_is_left(registry: Registry, name: str) -> None:
    added(registry, "1")
    file = stored(registry, name)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(TamperedArtifact, match="version 1 was changed in the registry"):
        registry.fetch("1")
    assert list(registry.folder.iterdir()) == []


def test_another_bundle_in_place_of_the_registered_one_is_refused(registry: Registry) -> None:
    """Each of its checksums is right; it is the registry that knows better."""
    added(registry, "1")
    other = bundle(registry.folder.parent, "1", content=b"other", folder="other")
    for name in ("ensemble.json", "manifest.json"):
        stored(registry, name).write_bytes((other.path / name).read_bytes())
    with pytest.raises(TamperedArtifact, match="it holds another bundle"):
        registry.fetch("1")


def test_a_missing_artifact_is_told(registry: Registry) -> None:
    added(registry, "1")
    stored(registry, "ensemble.json").unlink()
    with pytest.raises(RegistryUnavailable, match=r"ensemble\.json"):
        registry.fetch("1")
    assert list(registry.folder.iterdir()) == []


def test_a_changed_folder_is_refused_until_it_is_removed(registry: Registry) -> None:
    added(registry, "1")
    file = registry.fetch("1") / "ensemble.json"
    file.chmod(0o644)
    file.write_bytes(b"2")
    with pytest.raises(OtherContent, match="remove that folder to have it fetched again"):
        registry.fetch("1")
    file.unlink()
    (registry.folder / "1").rename(registry.folder.parent / "moved-away")
    assert Bundle.load(registry.fetch("1")).read("ensemble.json") == b"1"


def test_what_others_keep_in_the_same_mlflow_is_no_version(registry: Registry) -> None:
    added(registry, "1")
    with registry.tracking.reached() as client:
        run = registry.tracking.start_search("theirs", settings={})
        client.create_model_version("ztad", "file:///elsewhere", run)
    assert [one.version for one in registry.versions()] == ["1"]
