"""A model version as a directory: written at once, never changed, verified in full before use."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from models.base import View
from models.manifest import (
    FORMAT,
    KIND,
    MANIFEST,
    BundleError,
    Details,
    FileChanged,
    FileMissing,
    Manifest,
    NotABundle,
    NotReplaceable,
    Schema,
    Stored,
    UnknownFile,
    WrongSchema,
    check_name,
    digest,
    library_versions,
    parse,
    render,
    utc_now,
)
from models.onnx_scorer import OnnxScorer

Content = bytes | Path
ALL_FEATURES: Mapping[str, View] = {}


class Bundle:
    """A verified model bundle: one ONNX file per detector, and what other packages stored with it.

    Only `load` makes one. Files that the manifest does not list are ignored: nothing here can read
    them. No file is ever unpickled.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def load(cls, path: Path | str, *, schema: Schema | None = None) -> Self:
        """The bundle at `path` after checking every byte of it, and its features against `schema`.

        Raises a `BundleError` that says what is wrong and what to do.
        """
        path = Path(path)
        bundle = cls(path, _manifest(path))
        if schema is not None and schema != bundle.manifest.schema:
            raise WrongSchema(str(path), schema, bundle.manifest.schema)
        for name in dict.fromkeys((*bundle.files, *bundle.manifest.detectors.values())):
            bundle.read(name)
        return bundle

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def schema(self) -> Schema:
        return self.manifest.schema

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the detectors, in alphabetical order."""
        return tuple(self.manifest.detectors)

    @property
    def sees(self) -> dict[str, View]:
        """What each detector sees of an event."""
        return self.manifest.sees

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files but the manifest."""
        return tuple(self.manifest.files)

    def read(self, name: str) -> bytes:
        """The bytes of a file, checked again.

        Raises `UnknownFile`, `FileMissing` or `FileChanged`.
        """
        stored = self.manifest.files.get(name)
        if stored is None:
            raise UnknownFile(str(self.path), name, self.files)
        content = _content(self.path, name)
        if len(content) != stored.size or digest(content) != stored.sha256:
            raise FileChanged(str(self.path), name)
        return content

    def scorer(self, detector: str, *, tile: int | None = None) -> OnnxScorer:
        """A scorer for one detector, its scores marked with this bundle's version."""
        name = self.manifest.detectors.get(detector)
        if name is None:
            raise UnknownFile(str(self.path), detector, self.detectors)
        return OnnxScorer(self.read(name), name=detector, version=self.version, tile=tile)


def write_bundle(
    path: Path | str,
    *,
    version: str,
    schema: Schema,
    detectors: Mapping[str, Content],
    files: Mapping[str, Content],
    sees: Mapping[str, View] = ALL_FEATURES,
    details: Details | None = None,
    created: str | None = None,
) -> Bundle:
    """Write a bundle at `path` and return it loaded.

    `detectors` maps a detector to its ONNX file or bytes, `files` a plain file name to what another
    package wants to find there again. A detector sees features unless `sees` says otherwise.
    `created` (RFC 3339) is now unless given.

    All or nothing: the bundle is complete under a temporary name beside `path` before it gets its
    own. A bundle already at `path` is replaced; anything else but an empty directory is left alone
    (`NotReplaceable`).
    """
    path = Path(path)
    _check_free(path)
    contents = {_onnx_name(name): _bytes(content) for name, content in detectors.items()}
    contents |= {name: _bytes(content) for name, content in files.items()}
    for name in contents:
        check_name(str(path), name)
    if len(contents) < len(detectors) + len(files):
        raise BundleError(str(path), "a file has the name of a detector's ONNX file: rename it")
    manifest = Manifest(
        kind=KIND,
        format=FORMAT,
        version=version,
        created=created or utc_now(),
        schema=schema,
        detectors={name: _onnx_name(name) for name in detectors},
        sees={name: sees.get(name, "features") for name in detectors},
        details=details or Details(),
        libraries=library_versions(),
        files={name: Stored(len(data), digest(data)) for name, data in contents.items()},
    )
    with _replacing(path) as draft:
        for name, data in {**contents, MANIFEST: render(manifest)}.items():
            _write(draft / name, data)
    return Bundle.load(path, schema=schema)


def copy_bundle(bundle: Bundle, path: Path | str) -> Bundle:
    """Copy a bundle to `path` as `write_bundle` would write it there, byte for byte the same."""
    path = Path(path)
    _check_free(path)
    with _replacing(path) as draft:
        for name in bundle.files:
            _write(draft / name, bundle.read(name))
        _write(draft / MANIFEST, render(bundle.manifest))
    return Bundle.load(path, schema=bundle.schema)


def _manifest(path: Path) -> Manifest:
    try:
        content = (path / MANIFEST).read_bytes()
    except FileNotFoundError:
        reason = f"it has no {MANIFEST}" if path.is_dir() else "there is no such directory"
        raise NotABundle(str(path), reason) from None
    except OSError as error:
        raise NotABundle(str(path), f"{MANIFEST}: {error.strerror}") from error
    return parse(content, str(path))


def _content(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except FileNotFoundError:
        raise FileMissing(str(path), name) from None
    except OSError as error:
        raise BundleError(str(path), f"cannot read {name!r}: {error.strerror}") from error


def _check_free(path: Path) -> None:
    """Raise `NotReplaceable` unless `path` is free, an empty directory, or one of our bundles.

    A damaged bundle, or one of a newer format, is still ours to replace.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        _manifest(path)
    except NotABundle as error:
        raise NotReplaceable(str(path)) from error
    except BundleError:
        return


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A new directory beside `path` that takes its name when the block succeeds, or disappears."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    old = draft.with_suffix(".old")
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            path.rename(old)
        draft.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Write and wait for the disk: a bundle that has its name must also have its bytes."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _onnx_name(detector: str) -> str:
    return f"{detector}.onnx"
