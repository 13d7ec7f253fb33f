import csv
import json
from pathlib import Path

from tuning.evaluation.judged import ENSEMBLE, Scored
from tuning.report import write_report

SCORED = Scored(
    event_ids=["a", "b"],
    types=["spray", None],
    flagged=[True, False],
    scores={ENSEMBLE: [0.99, 0.5], "svm": [0.9, 0.1]},
)


def test_writes_metrics_and_a_line_per_event(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    write_report(folder, {"ranking": {"roc_auc": None}}, SCORED)
    assert json.loads((folder / "metrics.json").read_text()) == {"ranking": {"roc_auc": None}}
    with (folder / "scores.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["event_id"], first["anomaly_type"], first["svm"]) == ("a", "spray", "0.9")
    assert (second["is_anomaly"], second["anomaly_type"], second["flagged"]) == ("0", "", "0")
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "scores.csv"}
