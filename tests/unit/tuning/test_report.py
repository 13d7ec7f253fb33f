import csv
import json
import re
from pathlib import Path

import pytest

from tuning.data import LabelsError
from tuning.evaluate import Training, evaluate
from tuning.evaluation.budget import Change
from tuning.evaluation.judged import ENSEMBLE, Judged, Scored
from tuning.report import page, read_ablation, write_report

DAY_S = 86400.0
SCORED = Scored(
    event_ids=["a", "b", "c"],
    users=["ada", "bob", "bob"],
    at_s=[DAY_S, DAY_S + 1.0, 3 * DAY_S],
    types=["<spray>", None, None],
    campaigns=["c1", "", ""],
    causes=["", "", "traveller"],
    flagged=[True, False, True],
    scores={ENSEMBLE: [0.99, 0.5, 0.95], "svm": [0.9, 0.1, 0.2]},
)
TRAINING = Training("v1", 0.9, 25.0, {ENSEMBLE: [0.0, 1.0], "svm": [0.0, 1.0]})


def _metrics() -> dict[str, object]:
    changes = [Change(2 * DAY_S, ("office_move",))]
    return evaluate(SCORED, TRAINING, known_changes=changes, resamples=20)


def test_writes_metrics_page_and_a_line_per_event(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    metrics = _metrics()
    write_report(folder, metrics, SCORED)
    assert json.loads((folder / "metrics.json").read_text())["model_version"] == "v1"
    with (folder / "scores.csv").open() as file:
        first, second, _ = csv.DictReader(file)
    assert (first["event_id"], first["anomaly_type"], first["svm"]) == ("a", "<spray>", "0.9")
    assert (second["is_anomaly"], second["anomaly_type"], second["flagged"]) == ("0", "", "0")
    assert {p.name for p in folder.iterdir()} == {"metrics.json", "scores.csv", "report.html"}


def test_page_needs_nothing_beside_it_and_escapes_what_labels_say(tmp_path: Path) -> None:
    write_report(tmp_path, _metrics(), SCORED)
    html = (tmp_path / "report.html").read_text()
    assert "&lt;spray&gt;" in html
    assert "<spray>" not in html
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    titles = re.findall(r"<figcaption>([^<]+)", html)
    assert titles == [
        "ROC",
        "Precision and recall",
        "Scores",
        "Alert budget by day",
        "Time to detect",
        "Around 1970-01-03T00:00:00+00:00",
    ]


def test_page_of_ordinary_events_alone() -> None:
    quiet = Scored(
        event_ids=["b"], users=["bob"], at_s=[0.0], types=[None], campaigns=[""], causes=[""],
        flagged=[False], scores={ENSEMBLE: [0.5], "svm": [0.1]},
    )  # fmt: skip
    told = evaluate(quiet, TRAINING, resamples=20)
    assert "no event is labelled anomalous" in page(told, Judged.of(quiet))


def test_an_ablation_is_told_beside_the_rest(tmp_path: Path) -> None:
    at = {"budget": {"recall": 0.5, "campaign_recall": None}}
    row = {"name": "without svm", "average_precision": 0.625, "operating_points": at}
    path = tmp_path / "ablation.json"
    path.write_text(json.dumps({"rows": [row]}))
    told = {**_metrics(), "ablation": read_ablation(path)}
    assert "<td>without svm</td><td>0.625</td>" in page(told, Judged.of(SCORED))
    path.write_text("[]")
    with pytest.raises(LabelsError, match="expected what ztad ablate writes"):
        read_ablation(path)
