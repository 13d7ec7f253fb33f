"""A bundle is written at once, and refused with the reason when anything about it is wrong."""

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.bundle import Bundle, copy_bundle, write_bundle
from models.export import Graph
from models.manifest import (
    FORMAT,
    BundleError,
    Details,
    FileChanged,
    FileMissing,
    Manifest,
    NewerFormat,
    NotABundle,
    NotReplaceable,
    OlderFormat,
    Schema,
    UnknownFile,
    UnsafeName,
    WrongSchema,
    render,
)
from models.onnx_scorer import INPUT

SCHEMA = Schema("3", ("speed", "failures"))


def total() -> bytes:
    graph = Graph(2)
    return graph.model(graph.add("MatMul", INPUT, graph.constant(np.ones((2, 1)))), tile=8)


def written(path: Path, *, version: str = "2026-11-22.1", history: bytes = b"\x00\x01") -> Bundle:
    return write_bundle(
        path,
        version=version,
        schema=SCHEMA,
        detectors={"total": total()},
        files={"history.bin": history, "calibration.json": b"{}"},
        details=Details(metrics={"roc_auc": 0.9}, settings={"budget": 25}, fingerprint="ab12"),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "bundle").path


def changed(path: Path, **fields: object) -> None:
    """Rewrite the manifest with a valid checksum, as a later or hostile author could."""
    file = path / "manifest.json"
    manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    file.write_bytes(render(msgspec.structs.replace(manifest, **fields)))


def test_round_trip(path: Path) -> None:
    bundle = Bundle.load(path, schema=SCHEMA)
    assert bundle.version == "2026-11-22.1"
    assert bundle.detectors == ("total",)
    assert bundle.files == ("calibration.json", "history.bin", "total.onnx")
    assert bundle.read("history.bin") == b"\x00\x01"
    assert bundle.manifest.details.metrics == {"roc_auc": 0.9}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bundle.manifest.created)
    assert "numpy" in bundle.manifest.libraries


def test_scorer(path: Path) -> None:
    scores = Bundle.load(path).scorer("total").score(np.array([[1, 2]], dtype=np.float32))
    assert (scores.detector, scores.version) == ("total", "2026-11-22.1")
    assert scores.values.tolist() == [3]


def test_detector_from_a_file(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(total())
    bundle = write_bundle(
        tmp_path / "b", version="1", schema=SCHEMA, detectors={"total": model}, files={}
    )
    assert bundle.read("total.onnx") == total()


def test_manifest_is_readable_json(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format"] == FORMAT
    assert manifest["files"]["calibration.json"]["size"] == 2


def test_unknown_names(path: Path) -> None:
    bundle = Bundle.load(path)
    with pytest.raises(UnknownFile, match=r"has no 'x', only calibration.json, "):
        bundle.read("x")
    with pytest.raises(UnknownFile, match="has no 'x', only total"):
        bundle.scorer("x")


def test_unlisted_file_is_out_of_reach(path: Path) -> None:
    (path / "extra.json").write_bytes(b"{}")
    with pytest.raises(UnknownFile):
        Bundle.load(path).read("extra.json")


@pytest.mark.parametrize("name", ["total.onnx", "history.bin", "calibration.json"])
def test_flipped_byte(path: Path, name: str) -> None:
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(FileChanged, match=f"{name}' was changed after training"):
        Bundle.load(path)


def test_any_flipped_byte_of_the_manifest(path: Path) -> None:
    file = path / "manifest.json"
    content = file.read_bytes()
    for position in range(len(content)):
        for bit in (1, 0x2A):
            broken = bytearray(content)
            broken[position] ^= bit
            file.write_bytes(broken)
            with pytest.raises(BundleError):
                Bundle.load(path)


def test_changed_between_load_and_read(path: Path) -> None:
    bundle = Bundle.load(path)
    (path / "history.bin").write_bytes(b"\x00\x02")
    with pytest.raises(FileChanged):
        bundle.read("history.bin")


def test_missing_file(path: Path) -> None:
    (path / "history.bin").unlink()
    with pytest.raises(FileMissing, match=r"'history.bin' is missing: copy the bundle again"):
        Bundle.load(path)


def test_missing_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()
    with pytest.raises(NotABundle, match=r"it has no manifest.json\); expected a directory"):
        Bundle.load(path)


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(NotABundle, match="there is no such directory"):
        Bundle.load(tmp_path / "nowhere")


def test_a_file_instead_of_a_directory(path: Path) -> None:
    with pytest.raises(NotABundle):
        Bundle.load(path / "total.onnx")


def test_truncated_manifest(path: Path) -> None:
    file = path / "manifest.json"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(NotABundle, match=r"manifest.json: "):
        Bundle.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "other", "format": 1}', "\xff"])
def test_other_json(path: Path, text: str) -> None:
    (path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(NotABundle, match="not a ztad model bundle"):
        Bundle.load(path)


def test_newer_format(path: Path) -> None:
    newer = {"kind": "ztad model bundle", "format": FORMAT + 1, "unheard_of": []}
    (path / "manifest.json").write_text(json.dumps(newer))
    with pytest.raises(NewerFormat, match=r"made by a newer ztad .*: upgrade ztad"):
        Bundle.load(path)


def test_older_format(path: Path) -> None:
    older = {"kind": "ztad model bundle", "format": FORMAT - 1}
    (path / "manifest.json").write_text(json.dumps(older))
    with pytest.raises(OlderFormat, match=r"made by an older ztad .*: train anew"):
        Bundle.load(path)


def test_what_a_detector_sees_is_on_record(tmp_path: Path) -> None:
    write_bundle(
        tmp_path / "b",
        version="1",
        schema=Schema("features-1", ("a",)),
        detectors={"one": b"1", "two": b"2"},
        files={},
        sees={"two": "trails"},
    )
    assert Bundle.load(tmp_path / "b").sees == {"one": "features", "two": "trails"}


@pytest.mark.parametrize(
    ("names", "version", "message"),
    [
        (("speed", "failures"), "4", "trained on features '3', but this ztad computes '4'"),
        (("speed",), "3", "with failures: train a new bundle"),
        (("speed", "failures", "hour"), "3", "without hour"),
        (("failures", "speed"), "3", "in another order"),
    ],
)
def test_wrong_schema(path: Path, names: tuple[str, ...], version: str, message: str) -> None:
    with pytest.raises(WrongSchema, match=message):
        Bundle.load(path, schema=Schema(version, names))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".x", "", "manifest.json"])
def test_unsafe_name_in_a_manifest(path: Path, name: str) -> None:
    stored = Bundle.load(path).manifest.files["history.bin"]
    changed(path, files={name: stored})
    with pytest.raises(UnsafeName, match="unsafe file name"):
        Bundle.load(path)


def test_detector_without_its_file(path: Path) -> None:
    changed(path, detectors={"total": "other.onnx"})
    with pytest.raises(UnknownFile, match=r"other.onnx"):
        Bundle.load(path)


@pytest.mark.parametrize("name", ["../x", "manifest.json", "a/b"])
def test_unsafe_name_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeName):
        write_bundle(tmp_path / "b", version="1", schema=SCHEMA, detectors={}, files={name: b""})
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="name of a detector's ONNX file"):
        write_bundle(
            tmp_path / "b",
            version="1",
            schema=SCHEMA,
            detectors={"total": total()},
            files={"total.onnx": b""},
        )


def test_a_bundle_is_replaced_as_a_whole(path: Path) -> None:
    (path / "left over").write_bytes(b"")
    bundle = written(path, version="2026-11-22.2")
    assert bundle.version == "2026-11-22.2"
    assert not (path / "left over").exists()
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_a_damaged_bundle_is_replaced(path: Path) -> None:
    (path / "history.bin").unlink()
    assert written(path).read("history.bin") == b"\x00\x01"


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert written(tmp_path / "empty").detectors == ("total",)


def test_parents_are_made(tmp_path: Path) -> None:
    assert written(tmp_path / "a" / "b" / "c").path.is_dir()


def test_other_directories_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(NotReplaceable, match="is left alone: choose another place"):
        written(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotReplaceable):
        written(tmp_path / "file")


def test_a_failed_write_leaves_the_old_bundle(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bundle(
            path,
            version="2",
            schema=SCHEMA,
            detectors={"total": tmp_path / "missing.onnx"},
            files={},
        )
    assert Bundle.load(path).version == "2026-11-22.1"
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_a_copy_is_the_same_byte_for_byte(path: Path, tmp_path: Path) -> None:
    to = tmp_path / "elsewhere" / "b"
    written(to, version="2026-11-21.1")
    copy = copy_bundle(Bundle.load(path), to)
    assert copy.version == "2026-11-22.1"
    for file in path.iterdir():
        assert (to / file.name).read_bytes() == file.read_bytes()


def test_a_copy_replaces_nothing_but_a_bundle(path: Path, tmp_path: Path) -> None:
    to = tmp_path / "notes"
    to.mkdir()
    (to / "mine.txt").write_text("mine")
    with pytest.raises(NotReplaceable):
        copy_bundle(Bundle.load(path), to)
    assert (to / "mine.txt").read_text() == "mine"
