"""Reading a Prometheus page; refusing to load somebody else's machine."""

from pathlib import Path

import pytest

from services.bench.subject import BenchError, counters, running

PAGE = """# HELP ztad_requests_total HTTP requests
# TYPE ztad_requests_total counter
ztad_requests_total{route="/v1/score",status="200"} 10.0
ztad_requests_total{route="/v1/score/batch",status="200"} 5.0
ztad_requests_total{route="/v1/score",status="503"} 2.0
ztad_requests_created{route="/v1/score",status="200"} 1.79e+09
ztad_degraded_batches_total 3.0
python_gc_objects_collected_total{generation="0"} 1.0
"""


def test_counters_by_status() -> None:
    found = counters(PAGE)
    assert found["ztad_requests_total 200"] == 15.0
    assert found["ztad_requests_total 503"] == 2.0
    assert found["ztad_degraded_batches_total"] == 3.0
    assert not any(name.startswith("python") for name in found)


@pytest.mark.parametrize("url", ["http://198.51.100.7:8000", "scores.example:80"])
def test_load_stays_on_this_machine(url: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="another machine"):
        running(url, tmp_path, "")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not ready"):
        running("http://127.0.0.1:9", tmp_path, "")
