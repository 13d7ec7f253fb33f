"""What a model bundle says about itself: `manifest.json`, typed, and the reasons to refuse one."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import msgspec

from models.base import ModelError, View

KIND = "ztad model bundle"
FORMAT = 2
MANIFEST = "manifest.json"
#: Of a file in a bundle; a version has such a name too, because a folder is called after it.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LIBRARIES = (
    "ztad",
    "numpy",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
)


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The features a bundle was trained on: a version and the column names in order."""

    version: str
    names: tuple[str, ...]


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 (hexadecimal) of one file of the bundle."""

    size: int
    sha256: str


class Details(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is worth knowing about the training, for people and for `GET /v1/models`.

    `metrics` and `settings` hold anything JSON can. `fingerprint` identifies the training data.
    """

    metrics: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    fingerprint: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything `manifest.json` holds. Adding, renaming or removing a field raises `FORMAT`.

    `created` is RFC 3339 in UTC. `detectors` maps a detector to its ONNX file, `sees` to what it
    sees of an event, `files` every file but the manifest to its checksum. `checksum` covers the
    manifest itself: the SHA-256 of its text with this field empty. It guards against accidents, not
    against an author who recomputes it.
    """

    kind: str
    format: int
    version: str
    created: str
    schema: Schema
    detectors: dict[str, str]
    sees: dict[str, View]
    details: Details
    libraries: dict[str, str]
    files: dict[str, Stored]
    checksum: str = ""


class BundleError(ModelError):
    """Root of every reason not to load or write a bundle; `path` is the bundle's directory."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class NotABundle(BundleError):
    """There is no readable manifest of ours."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path, f"not a ztad model bundle ({reason}); expected a directory made by 'ztad train'"
        )
        self.reason = reason


class NewerFormat(BundleError):
    """A later release wrote it."""

    def __init__(self, path: str, found: int) -> None:
        super().__init__(
            path,
            f"made by a newer ztad (bundle format {found}, this one reads {FORMAT}): upgrade ztad",
        )
        self.found = found


class OlderFormat(BundleError):
    """An earlier release wrote it."""

    def __init__(self, path: str, found: int) -> None:
        super().__init__(
            path,
            f"made by an older ztad (bundle format {found}, this one reads {FORMAT}): train anew",
        )
        self.found = found


class FileMissing(BundleError):
    """The manifest lists a file that is not there."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(path, f"file {name!r} is missing: copy the bundle again, or train anew")
        self.name = name


class FileChanged(BundleError):
    """The bytes of a file are not those that were written."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(
            path,
            f"file {name!r} was changed after training (checksum differs): copy the bundle again, "
            "or train anew",
        )
        self.name = name


class UnsafeName(BundleError):
    """A file name could leave the bundle's directory, or the manifest would be overwritten."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(
            path,
            f"unsafe file name {name!r}: expected a plain name of letters, digits, '.', '_', '-', "
            f"other than {MANIFEST!r}",
        )
        self.name = name


class WrongSchema(BundleError):
    """The bundle was trained on other features than this process computes."""

    def __init__(self, path: str, expected: Schema, found: Schema) -> None:
        super().__init__(path, f"{_schema_difference(expected, found)}: train a new bundle")
        self.expected = expected
        self.found = found


class UnknownFile(BundleError):
    """Something was asked of the bundle that it does not hold."""

    def __init__(self, path: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(path, f"has no {name!r}, only {', '.join(known)}")
        self.name = name
        self.known = known


class NotReplaceable(BundleError):
    """The place to write to is taken by something that is not a bundle."""

    def __init__(self, path: str) -> None:
        super().__init__(
            path,
            "exists and is not a ztad model bundle, so it is left alone: choose another place, or "
            "remove it",
        )


def render(manifest: Manifest) -> bytes:
    """The one text of a manifest: indented JSON with its checksum filled in."""
    bare = msgspec.structs.replace(manifest, checksum="")
    return _text(msgspec.structs.replace(manifest, checksum=digest(_text(bare))))


def parse(content: bytes, path: str) -> Manifest:
    """The manifest in `content`, or the `BundleError` that says why not."""
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotABundle(path, f"{MANIFEST}: {error}") from error
    if head.kind != KIND:
        raise NotABundle(path, f"{MANIFEST} says kind {head.kind!r}")
    if head.format > FORMAT:
        raise NewerFormat(path, head.format)
    if head.format < FORMAT:
        raise OlderFormat(path, head.format)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise NotABundle(path, f"{MANIFEST}: {error}") from error
    if render(manifest) != content:
        raise FileChanged(path, MANIFEST)
    for name in (*manifest.files, *manifest.detectors.values()):
        check_name(path, name)
    return manifest


def check_name(path: str, name: str) -> None:
    """Raise `UnsafeName` unless `name` is a plain file name, and not the manifest's."""
    if not PLAIN_NAME.fullmatch(name) or name == MANIFEST:
        raise UnsafeName(path, name)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def library_versions() -> dict[str, str]:
    """Installed versions of what makes a model, without importing any of it."""
    found: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            found[library] = installed_version(library)
        except PackageNotFoundError:
            continue
    return found


class _Head(msgspec.Struct):
    """Enough to know whether the rest can be understood."""

    kind: str
    format: int


def _text(manifest: Manifest) -> bytes:
    encoded = msgspec.json.encode(manifest, order="deterministic")
    return msgspec.json.format(encoded, indent=2) + b"\n"


def _schema_difference(expected: Schema, found: Schema) -> str:
    missing = sorted(set(expected.names) - set(found.names))
    extra = sorted(set(found.names) - set(expected.names))
    parts = [f"trained on features {found.version!r}, but this ztad computes {expected.version!r}"]
    parts += [f"without {', '.join(missing)}"] if missing else []
    parts += [f"with {', '.join(extra)}"] if extra else []
    same = found.version == expected.version and not missing and not extra
    return (
        f"trained on the same features in another order ({found.version!r})"
        if same
        else ("; ".join(parts))
    )
