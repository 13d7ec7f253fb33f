import io
from datetime import UTC, datetime

from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent
from services.commands.findings import Findings, show_summary, show_top


def _event(name: str, ip: str | None = None) -> AuthEvent:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return AuthEvent(at, name, "success", event_id=name, source_ip=ip)


def _verdict(name: str, score: float, *, duplicate: bool = False) -> Verdict:
    flagged = score > 0.9
    return Verdict(
        name, name, score, flagged, 0.9, "low", (), {}, "champion", "1", duplicate=duplicate
    )


def test_counts_alerts_by_address_and_user() -> None:
    findings = Findings()
    events = [_event("ada", "192.0.2.1"), _event("bob"), _event("eve", "192.0.2.1"), _event("ed")]
    verdicts = [_verdict("ada", 0.95), _verdict("bob", 0.99), _verdict("eve", 0.91)]
    findings.add(events, [*verdicts, _verdict("ed", 0.5)])
    assert findings.alerts == 3
    assert findings.addresses == {"192.0.2.1": 2}
    assert findings.users == {"ada": 1, "bob": 1, "eve": 1}


def test_a_repeated_event_is_no_second_alert() -> None:
    findings = Findings(most=5)
    for duplicate in (False, True):
        findings.add([_event("ada")], [_verdict("ada", 0.95, duplicate=duplicate)])
    assert findings.alerts == 1
    assert len(findings.top()) == 1


def test_top_is_by_score_then_first_come() -> None:
    findings = Findings(most=3)
    scores = {"a": 0.5, "b": 0.99, "c": 0.7, "d": 0.99, "e": 0.1}
    for name, score in scores.items():
        findings.add([_event(name)], [_verdict(name, score)])
    assert [event.user_id for event, _ in findings.top()] == ["b", "d", "c"]


def test_tables_show_names_as_they_are() -> None:
    findings = Findings(most=1)
    findings.add([_event("[red]ada[/red]", "192.0.2.1")], [_verdict("x", 0.95)])
    out = io.StringIO()
    show_top(findings, out)
    show_summary(findings, out)
    assert out.getvalue().count("[red]ada[/red]") == 2
    assert "192.0.2.1" in out.getvalue()
