"""The rules file: what it may say, and what is told of one that says something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import alerting
from alerting.conditions import Condition
from alerting.notifiers import NOTIFIERS, notifier_type
from alerting.notifiers.base import Digest
from alerting.rules import MOST_BYTES, Grouping, ReasonRule, Retry, Rules, load
from alerting.strict import RulesError

EXAMPLE = Path(alerting.__file__).with_name("example.yaml")
HOOK = "type: webhook, url: https://x.example/hook, secret: '${KEY}'"


def test_the_example_is_good_and_shows_every_key() -> None:
    rules = load(EXAMPLE.read_bytes())
    assert rules.model_fields_set == Rules.model_fields.keys()
    assert {settings.type for settings in rules.channels.values()} | {"memory"} == set(NOTIFIERS)


def test_every_notifier_is_found_and_says_how_it_is_configured() -> None:
    for name in NOTIFIERS:
        assert "rate" in notifier_type(name).settings_type.model_fields


def test_nothing_has_to_be_said() -> None:
    assert load("") == Rules() == load("{}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chanels: {}", "unknown: 'chanels'; did you mean 'channels'?"),
        ("channels: {a: {type: emial}}", "channels.a: type: unknown: 'emial'; did you mean 'ema"),
        ("channels: {a: {}}", "channels.a: expected a type: one of email, chat, webhook, memory"),
        (f"channels: {{a: {{{HOOK}, rat: {{}}}}}}", "channels.a: unknown: 'rat'; did you mean 'ra"),
        (f"channels: {{a: {{{HOOK}, rate: {{most: 0}}}}}}", "channels.a: rate.most: "),
        (f"channels: {{a: {{{HOOK}, digest: {{below: high}}}}}}", "channels.a: digest: expected"),
        (f"channels: {{a: {{{HOOK}, digest: {{below: hi, every: 1h}}}}}}", "digest.below: "),
        ("channels: {'a b': {type: memory}}", "channels.a b.[key]: "),
        ("otherwise: [a]", "otherwise: unknown: 'a'; expected one of (none)"),
        ("routes: [{name: r, channels: [a]}]", "routes.r.channels: unknown: 'a'"),
        ("routes: [{channels: []}]", "routes.0.name: field required"),
        ("rules: [{name: r, when: {groups: [g]}, drop: true}]", "rules.r.when.groups: unknown"),
        ("rules: [{name: r, when: {during: t}, drop: true}]", "rules.r.when.times: unknown: 't'"),
        ("rules: [{name: r, when: {}}]", "rules.0: expected either drop: true or a severity"),
        ("rules: [{name: r, when: {severity_at_least: hgih}, drop: true}]", "input should be "),
        ("reasons: {impossible_travl: {}}", "did you mean 'impossible_travel'?"),
        ("reasons: {impossible_travel: {score: 1.5}}", "reasons.impossible_travel.score: "),
        ("times: {t: {from: 8am}}", 'times.t.from: expected a time of day such as "08:30"'),
        ("times: {t: {zone: Mars/Olympus}}", "times.t.zone: expected a time zone"),
        ("grouping: {quiet: 4}", "grouping.quiet: expected a duration such as 30s, 5m, 4h or 2d"),
        ("suppress: {hi: 4h}", "suppress.hi.[key]: "),
        ("link: ztad.example.org", "link: expected the https:// address"),
        ("rules: [{name: r, when: {addresses: [10.0.0.300]}, drop: true}]", "expected an address"),
        ("- a", "expected keys such as channels and routes"),
        ("a: [1", "line 1, column 6: "),
        ("keep: 1d\nkeep: 2d", "line 2, column 1: 'keep' is given twice"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: "),
        (b"\xff\xfe\xfd", "no YAML; expected a text in UTF-8"),
        ("x" * (MOST_BYTES + 1), "this is no rules file"),
    ],
)  # fmt: skip
def test_a_problem_names_its_key_and_the_fix(text: str | bytes, problem: str) -> None:
    with pytest.raises(RulesError) as told:
        load(text)
    assert problem in str(told.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(RulesError) as told:
        load("keep: 5\ngrouping: {quiet: x}\nlink: y")
    assert len(told.value.problems) == 3


@pytest.mark.parametrize(
    "channel",
    [
        "type: webhook, url: https://x.example/hook, secret: hunter2hunter2",
        "type: webhook, url: 'https://user:hunter2hunter2@x.example', secret: '${KEY}'",
        "type: chat, url: 'slack://hunter2hunter2/b/c'",
        "type: email, host: x, sender: a@b.example, to: [a@b.example], password: hunter2hunter2",
        "type: memory, password: hunter2hunter2",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(channel: str) -> None:
    with pytest.raises(RulesError) as told:
        load(f"channels: {{a: {{{channel}}}}}")
    assert "hunter2" not in str(told.value)
    assert "hunter2" not in repr(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


def test_hours_need_no_quotes() -> None:
    """YAML reads an unquoted 18:00 as a number to base sixty: 1080."""
    rules = load("times: {late: {from: 18:00, until: 23:30}}")
    assert (rules.times["late"].start, rules.times["late"].until) == (18 * 60, 23 * 60 + 30)


def test_a_wait_that_is_not_given_keeps_its_default() -> None:
    grouping = load("grouping: {wait: {high: 2m}}").grouping
    assert grouping.wait_s("high") == 120
    assert grouping.wait_s("critical") == 0
    assert load("suppress: {low: 1h}").suppress_s("medium") == 12 * 3600


def test_the_docs_name_every_key_channel_and_condition() -> None:
    page = (Path(alerting.__file__).parents[1] / "docs" / "alerting.md").read_text()
    names = {*Rules.model_fields, *Condition.model_fields, *Retry.model_fields, *NOTIFIERS,
             *Grouping.model_fields, *ReasonRule.model_fields}  # fmt: skip
    names |= {"rate", "digest"}
    missing = {name for name in names if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)}
    assert missing == set()


def test_low_alerts_reach_people_once_a_day_unless_the_file_says_otherwise() -> None:
    text = """
    channels:
      mail: {type: email, host: h, sender: z@x.example, to: [s@x.example]}
      chat: {type: chat, url: "ntfys://${TOPIC}"}
      every: {type: chat, url: "ntfys://${TOPIC}", digest: null}
      cases: {type: webhook, url: "https://x.example", secret: "${KEY}"}
    """
    digests = {name: each.digest for name, each in load(text).channels.items()}
    assert digests["mail"] == digests["chat"] == Digest(below="medium", at=450)
    assert digests["every"] is digests["cases"] is None


def test_a_page_waits_for_no_digest_unless_the_file_says_so() -> None:
    text = """
    channels:
      pager: {type: chat, url: "PagerDuty://${KEY}@${SERVICE}"}
      calm: {type: chat, url: "opsgenie://${KEY}", digest: {below: medium, every: 4h}}
    """
    digests = {name: each.digest for name, each in load(text).channels.items()}
    assert digests["pager"] is None
    assert digests["calm"] is not None
    assert digests["calm"].every == 4 * 3600
