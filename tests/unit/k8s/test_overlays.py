"""The real overlays pass, and say how much was looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from k8s.checks import kustomize
from k8s.checks.__main__ import GROUPS, main
from k8s.checks.manifests import OVERLAYS, ROOT, Manifests


def test_every_overlay_passes_every_group(rendered: dict[str, Manifests]) -> None:
    assert set(rendered) == {"local", "prod"}
    found = [
        f"{name}: {finding}"
        for name, manifests in rendered.items()
        for check in GROUPS.values()
        for finding in check(manifests).findings
    ]
    assert found == []


def test_each_overlay_has_all_that_is_promised(rendered: dict[str, Manifests]) -> None:
    kinds = {name: {each["kind"] for each in one.objects} for name, one in rendered.items()}
    both = {"Namespace", "RayService", "ConfigMap", "NetworkPolicy", "Deployment", "CronJob",
            "PersistentVolumeClaim", "Service", "ServiceAccount"}  # fmt: skip
    assert both <= kinds["local"]
    assert both | {"Ingress", "PodMonitor", "PodDisruptionBudget"} <= kinds["prod"]
    assert "Secret" in kinds["local"]
    assert "Secret" not in kinds["prod"], "secrets of production are never in these files"


def test_output_has_a_line_per_group(
    binary: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZTAD_RAYSERVICE_SCHEMA", raising=False)
    assert main(["local"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("local: ")
    assert [line.split()[0] for line in lines if line.startswith("  ok")] == ["ok"] * len(GROUPS)
    assert lines[-1] == "0 mistakes found"


def test_a_mistake_ends_with_exit_code_1(
    binary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("checks", "__pycache__"))
    ingress = copy / "overlays" / "prod" / "ingress.yaml"
    ingress.write_text(ingress.read_text().replace("number: 8000", "number: 8001"))
    assert main(["prod", "--folder", str(copy / "overlays")]) == 1
    out = capsys.readouterr().out
    assert "Service ztad-serve-svc has no port 8001" in out
    assert "Ingress/ztad spec.rules[0].http.paths[0].backend" in out


def test_what_cannot_be_rendered_is_a_mistake_too(
    binary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    assert main(["broken", "--folder", str(tmp_path)]) == 1
    assert "nowhere.yaml" in capsys.readouterr().out


def test_a_schema_that_is_not_at_hand_is_said_aloud(prod: Manifests) -> None:
    without = Manifests(prod.overlay, prod.objects, prod.external, schema=None)
    checked = GROUPS["schemas"](without)
    assert checked.findings == []
    assert checked.skipped == ["RayService against KubeRay's schema: name it with --schema"]


def test_without_go_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kustomize, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 2
    assert "there is no 'go': install Go" in capsys.readouterr().err


def test_overlays_are_found_by_their_kustomization() -> None:
    assert kustomize.overlays() == sorted(path.name for path in OVERLAYS.iterdir())
