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


def test_a_version_that_failed_is_tried_again(bundle: Bundle, tmp_path: Path) -> None:
    async def run() -> str:
        versions: Versions[str] = Versions(lambda each: each.version)
        with pytest.raises(BundleError):
            await versions.get("v2", str(tmp_path / "v2"))
        path = copied(bundle, tmp_path / "v2", "v2")
        return await versions.get("v2", str(path))

    assert asyncio.run(run()) == "v2"
