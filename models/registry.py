"""The model versions of an organisation: registered once, named by aliases, fetched and verified.

MLflow keeps them (models/tracking.py). Serving never comes here: it is given local folders.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from models.aliases import ALIASES, Alias, Change, before
from models.bundle import Bundle
from models.manifest import MANIFEST, PLAIN_NAME, BundleError, parse, utc_now
from models.tracking import PREFIX, RegistryError, Tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Entry
    from mlflow.entities.model_registry import RegisteredModel

#: The name of our registered model in MLflow.
MODEL = "ztad"
_CHANGE = f"{PREFIX}change."
#: Where a run keeps the files of its bundle.
_FOLDER = "bundle"


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. ``created`` is RFC 3339, ``checksum`` that of its manifest.

    ``run`` is the MLflow run of its training, ``parent`` that of the search that chose its
    settings, ``retrained_from`` the version it was to replace; empty where there is none.
    """

    version: str
    created: str
    aliases: tuple[Alias, ...]
    detectors: tuple[str, ...]
    metrics: dict[str, Any]
    fingerprint: str
    checksum: str
    run: str
    parent: str
    retrained_from: str


class UnknownVersion(RegistryError):
    """Neither a registered version nor an alias that is set."""

    def __init__(self, name: str, known: list[str]) -> None:
        there = f"there is {', '.join(known[:5])}" if known else "none is registered"
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        make = "" if known else ": make one with 'ztad train'"
        what = "no version is the" if name in ALIASES else "no version"
        super().__init__(f"{what} {name}; {there}{more}{make}")
        self.name = name


class VersionTaken(RegistryError):
    """Another bundle is registered under this version."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version {version} is registered already with other content: train again, which "
            "gives a new version"
        )
        self.version = version


class InvalidVersion(RegistryError):
    """A version that could not be the name of a folder."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version {version!r}: expected letters, digits, '.', '_' or '-', like 2026-11-22.1"
        )


class AliasRefused(RegistryError):
    """An alias cannot be moved like this."""


class OtherContent(RegistryError):
    """The folder of a version does not hold what was registered."""

    def __init__(self, version: str, folder: Path, reason: str) -> None:
        super().__init__(
            f"version {version} in {folder} is not what was registered: {reason}; remove that "
            "folder to have it fetched again"
        )


class TamperedArtifact(RegistryError):
    """What the registry hands out is not what was registered."""

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(
            f"version {version} was changed in the registry after it was registered: {reason}; "
            "promote or train another"
        )


class Registry:
    """Versions in the MLflow at ``address`` (see :class:`Tracking`), bundles below ``home``.

    Every method may raise :class:`models.tracking.RegistryUnavailable`. Nothing is cached: two
    processes see each other's changes.
    """

    def __init__(self, home: Path, address: str = "") -> None:
        self.tracking = Tracking(home, address)
        self.folder = home.absolute() / "models"
        """Where fetched bundles are, each in a folder named as its version."""

    def versions(self) -> list[ModelVersion]:
        """Every registered version, the newest first."""
        entries, aliases = self._entries(), self._aliases()
        names: dict[str, list[Alias]] = {}
        for alias in ALIASES:
            if alias in aliases:
                names.setdefault(aliases[alias], []).append(alias)
        found = [
            _version(entry, tuple(names.get(str(entry.version), ()))) for entry in entries.values()
        ]
        return sorted(found, key=lambda one: (one.created, one.version), reverse=True)

    def version(self, name: str) -> ModelVersion:
        """The version of this name or with this alias; raises :class:`UnknownVersion`."""
        versions = self.versions()
        for one in versions:
            if name == one.version or name in one.aliases:
                return one
        raise UnknownVersion(name, [one.version for one in versions])

    def aliases(self) -> dict[Alias, str]:
        """The version that each alias names, for those that are set."""
        return {alias: one.version for one in self.versions() for alias in one.aliases}

    def register(self, bundle: Bundle, run: str) -> ModelVersion:
        """Add a bundle as a version, with the run that :meth:`Tracking.log_training` recorded.

        A version is registered once: the same bundle again changes nothing, another one under its
        name raises :class:`VersionTaken`, also when two processes try at the same moment.
        """
        version = bundle.version
        if not PLAIN_NAME.fullmatch(version) or version in ALIASES:
            raise InvalidVersion(version)
        known = self._entries().get(version)
        if known is None:
            self._make_model()
            source = self.tracking.upload(run, bundle, _FOLDER)
            known = self._claim(bundle, run, source)
        if known.tags[f"{PREFIX}checksum"] != bundle.manifest.checksum:
            raise VersionTaken(version)
        return self.version(version)

    def set_alias(self, alias: Alias, version: str, *, by: str) -> None:
        """Let an alias name a version, which loses the alias it had; ``by`` is who wants it.

        Raises :class:`UnknownVersion`, or :class:`AliasRefused` for a champion that would play
        another part and leave nobody in its own.
        """
        self._move(alias, self.version(version), by=by, back=False)

    def check_alias(self, alias: Alias, version: ModelVersion) -> None:
        """Raise :class:`AliasRefused` where :meth:`set_alias` would."""
        if alias != "champion" and "champion" in version.aliases:
            message = "is the champion: promote another version to champion first"
            raise AliasRefused(f"{version.version} {message}")

    def remove_alias(self, alias: Alias, *, by: str) -> None:
        """Let an alias name nothing; raises :class:`AliasRefused` for the champion."""
        current = self.aliases().get(alias, "")
        if current:
            self._clear(alias, current, by=by, back=False)

    def rollback(self, alias: Alias, *, by: str) -> str:
        """Let an alias name what it named before; that version, or "" if there was none.

        Going back again goes back further. Raises :class:`AliasRefused` when nothing is known of
        the time before.
        """
        target = self.before(alias)
        current = self.aliases().get(alias, "")
        if target:
            self._move(alias, self.version(target), by=by, back=True)
        else:
            self._clear(alias, current, by=by, back=True)
        return target

    def before(self, alias: Alias) -> str:
        """What :meth:`rollback` would go back to; raises :class:`AliasRefused`."""
        target = before(alias, self.aliases().get(alias, ""), self.history())
        if target is None or (alias == "champion" and not target):
            raise AliasRefused(f"nothing to go back to: there was no other {alias} before")
        return target

    def history(self) -> list[Change]:
        """Every move of an alias, the oldest first."""
        model = self._model()
        tags = dict(model.tags) if model is not None else {}
        moves = sorted((key, text) for key, text in tags.items() if key.startswith(_CHANGE))
        return [msgspec.json.decode(text, type=Change) for _, text in moves]

    def fetch(self, name: str) -> Path:
        """The folder of a version, or of the one that an alias names, every byte of it verified.

        What is not on this machine is downloaded. The folder never changes afterwards. Raises
        :class:`UnknownVersion`, :class:`OtherContent` or :class:`TamperedArtifact`.
        """
        wanted = self.version(name)
        folder = self.folder / wanted.version
        if not folder.exists():
            self._download(wanted, folder)
        try:
            _verify(folder, wanted)
        except BundleError as error:
            raise OtherContent(wanted.version, folder, str(error)) from None
        return folder

    def _move(self, alias: Alias, to: ModelVersion, *, by: str, back: bool) -> None:
        if alias in to.aliases:
            return
        self.check_alias(alias, to)
        for held in to.aliases:
            self._clear(held, to.version, by=by, back=False)
        current = self.aliases().get(alias, "")
        self._record(Change(alias, current, to.version, utc_now(), by, back))
        number = str(self._entries()[to.version].version)
        with self.tracking.reached() as client:
            client.set_registered_model_alias(MODEL, alias, number)

    def _clear(self, alias: Alias, current: str, *, by: str, back: bool) -> None:
        if alias == "champion":
            raise AliasRefused("there must be a champion: promote another version instead")
        self._record(Change(alias, current, "", utc_now(), by, back))
        with self.tracking.reached() as client:
            client.delete_registered_model_alias(MODEL, alias)

    def _record(self, change: Change) -> None:
        """Before the move itself: what is known of it must survive whatever happens then."""
        key = f"{_CHANGE}{time.time_ns():020d}.{secrets.token_hex(4)}"
        with self.tracking.reached() as client:
            client.set_registered_model_tag(MODEL, key, msgspec.json.encode(change).decode())

    def _claim(self, bundle: Bundle, run: str, source: str) -> Entry:
        """Add the entry of a version. MLflow counts entries up, so of two processes that claim
        one version the first has the lower number, and each can see who that is."""
        with self.tracking.reached() as client:
            told = client.get_run(run).data.tags
            tags = _tags(bundle) | {
                f"{PREFIX}parent": told.get("mlflow.parentRunId", ""),
                f"{PREFIX}retrained_from": told.get(f"{PREFIX}retrained_from", ""),
            }
            made = client.create_model_version(MODEL, source, run, tags)
        first = self._entries()[bundle.version]
        with self.tracking.reached() as client:
            if int(first.version) != int(made.version):
                client.delete_model_version(MODEL, str(made.version))
            else:
                client.set_tag(run, f"{PREFIX}version", bundle.version)
                client.update_run(run, name=bundle.version)
        return first

    def _make_model(self) -> None:
        with self.tracking.reached() as client:
            from mlflow.exceptions import MlflowException

            try:
                client.create_registered_model(MODEL)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _model(self) -> RegisteredModel | None:
        if not self.tracking.begun:
            return None
        with self.tracking.reached() as client:
            from mlflow.exceptions import MlflowException

            try:
                return client.get_registered_model(MODEL)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None

    def _aliases(self) -> Mapping[str, str]:
        """MLflow's number by alias."""
        model = self._model()
        return {} if model is None else {key: str(value) for key, value in model.aliases.items()}

    def _entries(self) -> dict[str, Entry]:
        """MLflow's entry of each version; others that MLflow may hold are none of ours."""
        if not self.tracking.begun:
            return {}
        entries: list[Entry] = []
        token: str | None = ""
        while token is not None:
            with self.tracking.reached() as client:
                page = client.search_model_versions(f"name = '{MODEL}'", page_token=token or None)
            entries += page
            token = page.token or None
        ours = [entry for entry in entries if f"{PREFIX}version" in entry.tags]
        ours.sort(key=lambda entry: int(entry.version), reverse=True)
        return {entry.tags[f"{PREFIX}version"]: entry for entry in ours}

    def _download(self, wanted: ModelVersion, folder: Path) -> None:
        """All that the manifest lists, and nothing else, verified before it has its name."""
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
        draft.mkdir(parents=True)
        try:
            self.tracking.download(wanted.run, _FOLDER, MANIFEST, draft)
            manifest = parse((draft / MANIFEST).read_bytes(), wanted.version)
            for name in manifest.files:
                self.tracking.download(wanted.run, _FOLDER, name, draft)
            _verify(draft, wanted)
            for file in draft.iterdir():
                file.chmod(0o444)
            _rename(draft, folder)
        except BundleError as error:
            raise TamperedArtifact(wanted.version, str(error)) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _rename(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster; what it left is verified next
            raise


def _verify(folder: Path, wanted: ModelVersion) -> None:
    """Raise ``BundleError`` unless the folder holds exactly the bundle that was registered."""
    found = Bundle.load(folder).manifest
    if found.version != wanted.version or found.checksum != wanted.checksum:
        raise BundleError(str(folder), f"it holds another bundle, of version {found.version}")


def _tags(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    told = {
        "version": manifest.version,
        "created": manifest.created,
        "checksum": manifest.checksum,
        "fingerprint": manifest.details.fingerprint,
        "detectors": ",".join(bundle.detectors),
        "metrics": msgspec.json.encode(manifest.details.metrics).decode(),
    }
    return {f"{PREFIX}{key}": text for key, text in told.items()}


def _version(entry: Entry, aliases: tuple[Alias, ...]) -> ModelVersion:
    tags = {key.removeprefix(PREFIX): text for key, text in entry.tags.items()}
    return ModelVersion(
        version=tags["version"],
        created=tags["created"],
        aliases=aliases,
        detectors=tuple(tags["detectors"].split(",")) if tags["detectors"] else (),
        metrics=msgspec.json.decode(tags["metrics"]),
        fingerprint=tags["fingerprint"],
        checksum=tags["checksum"],
        run=str(entry.run_id),
        parent=tags.get("parent", ""),
        retrained_from=tags.get("retrained_from", ""),
    )
