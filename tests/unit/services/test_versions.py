"""What a stage keeps of model versions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.manifest import BundleError
from services.versions import OtherVersion, Versions
from tests.unit.services.copies import copied


def test_each_version_is_made_once(bundle: Bundle) -> None:
    made: list[str] = []

    def make(each: Bundle) -> str:
        made.append(each.version)
        return each.version

    async def run() -> list[str]:
        versions = Versions(make)
        asked = (versions.get(bundle.version, str(bundle.path)) for _ in range(5))
        found = await asyncio.gather(*asked)
        return [*found, await versions.get(bundle.version, "is not read again")]

    assert asyncio.run(run()) == [bundle.version] * 6
    assert made == [bundle.version]


def test_the_longest_unused_gives_way(bundle: Bundle, tmp_path: Path) -> None:
    made: list[str] = []

    def make(each: Bundle) -> str:
        made.append(each.version)
        return each.version

    async def run() -> None:
        versions = Versions(make, most=2)
        for name in ("a", "b", "a", "c", "a", "b"):
            await versions.get(name, str(paths[name]))

    paths = {name: copied(bundle, tmp_path / name, name) for name in ("a", "b", "c")}
    asyncio.run(run())
    assert made == ["a", "b", "c", "b"]


def test_another_version_than_asked_for(bundle: Bundle) -> None:
    versions: Versions[str] = Versions(lambda each: each.version)
    with pytest.raises(OtherVersion, match="expected v9"):
        asyncio.run(versions.get("v9", str(bundle.path)))


def test_at_hand_waits_for_nothing_and_has_it_loaded(bundle: Bundle) -> None:
    async def run() -> list[str | None]:
        versions: Versions[str] = Versions(lambda each: each.version)
        asked = [versions.at_hand(bundle.version, str(bundle.path)) for _ in range(2)]
        await versions.get(bundle.version, str(bundle.path))
        return [*asked, versions.at_hand(bundle.version, "is not read again")]

    assert asyncio.run(run()) == [None, None, bundle.version]


def test_at_hand_is_told_once_of_a_version_that_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        versions: Versions[str] = Versions(lambda each: each.version)
        async with asyncio.timeout(30):
            while not caplog.records:
                assert versions.at_hand("v2", str(tmp_path / "v2")) is None
                await asyncio.sleep(0)
            for _ in range(10):
                assert versions.at_hand("v2", str(tmp_path / "v2")) is None
                await asyncio.sleep(0)

    asyncio.run(run())
    (line,) = caplog.records
    assert "version v2 is not there" in line.getMessage()


def test_a_version_that_failed_is_tried_again(bundle: Bundle, tmp_path: Path) -> None:
    async def run() -> str:
        versions: Versions[str] = Versions(lambda each: each.version)
        with pytest.raises(BundleError):
            await versions.get("v2", str(tmp_path / "v2"))
        path = copied(bundle, tmp_path / "v2", "v2")
        return await versions.get("v2", str(path))

    assert asyncio.run(run()) == "v2"
