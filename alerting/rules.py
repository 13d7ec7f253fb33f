"""``Rules``: everything about alerting that an operator decides, in one validated YAML file.

``alerting/example.yaml`` shows every key; docs/alerting.md explains them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, Field, SerializeAsAny, ValidationError, model_validator
from pydantic.functional_validators import BeforeValidator

from alerting.alert import Alert
from alerting.conditions import Condition, Pattern, ReasonCode, Times
from alerting.notifiers import NOTIFIERS, notifier_type
from alerting.notifiers.base import ChannelSettings
from alerting.strict import Duration, RulesError, Strict, problems, unknown
from ensemble.verdict import Severity

_WAIT_S: dict[Severity, float] = {
    "info": 30.0, "low": 30.0, "medium": 30.0, "high": 10.0, "critical": 0.0,
}  # fmt: skip
_SUPPRESS_S: dict[Severity, float] = {
    "info": 86400.0, "low": 86400.0, "medium": 43200.0, "high": 14400.0, "critical": 0.0,
}  # fmt: skip
#: A rules file is written by hand; a larger one is something else.
MOST_BYTES = 1 << 20


def _channel(given: Any) -> Any:
    """Read a channel by the settings of its type's notifier."""
    if isinstance(given, ChannelSettings):
        return given
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise ValueError(f"expected a type: one of {', '.join(NOTIFIERS)}")
    if given["type"] not in NOTIFIERS:
        raise ValueError(f"type: {unknown(given['type'], list(NOTIFIERS))}")
    try:
        return notifier_type(given["type"]).settings_type.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(problems(error))) from None


def _link(address: str) -> str:
    if not address.startswith(("https://", "http://")):
        raise ValueError("expected the https:// address under which people reach ztad")
    return address.rstrip("/")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Channel = Annotated[SerializeAsAny[ChannelSettings], BeforeValidator(_channel)]


class ReasonRule(Strict):
    """Thresholds of one reason.

    Of events of which it is the main reason, those below ``score`` or ``severity`` raise no alert,
    and the others are at most ``at_most``. Events that have it among their reasons are at least
    ``at_least``.
    """

    score: float | None = Field(default=None, gt=0, lt=1)
    severity: Severity | None = None
    at_least: Severity | None = None
    at_most: Severity | None = None


#: What succeeds after guessing is worse than its score: the score tells how rare it is.
_REASONS = {
    "brute_force_success": ReasonRule(at_least="high"),
    "mfa_fatigue": ReasonRule(at_least="high"),
    "password_spraying": ReasonRule(at_least="medium"),
}


class Rule(Strict):
    """What to do with events for which a condition holds: drop them, or set their severity."""

    name: Name
    when: Condition
    drop: bool = False
    severity: Severity | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if self.drop == (self.severity is not None):
            raise ValueError("expected either drop: true or a severity")
        return self


class Route(Strict):
    """Channels for alerts for which a condition holds. The first that holds decides, unless it
    says ``continue: true``."""

    name: Name
    when: Condition = Condition()
    channels: tuple[str, ...]
    proceed: bool = Field(default=False, alias="continue")


class Wave(Strict):
    """When failures at many users from many addresses are one attack; further ones join one alert.

    The spraying rule of Elastic's detection rules asks for 8 users and 5 addresses in 15 minutes;
    here only suspicious failures count, and slow attacks as well.
    """

    alerts: Annotated[int, Field(ge=0, le=200)] = 5
    """So many alerts of failures alone make a wave; 0: there are no waves."""
    within: Duration = 3600.0


class Grouping(Strict):
    """How events become alerts. The defaults let a chain of minutes arrive as one message and
    start a new alert for what happens the next day."""

    quiet: Duration = 4 * 3600.0
    """An alert that long without events is over; what comes later opens another."""
    longest: Duration = 24 * 3600.0
    """An alert that old is over in any case."""
    wait: dict[Severity, Duration] = Field(default_factory=dict)
    """How long a new alert gathers events before it is told, by severity. Unless given: 0 s for
    ``critical``, 10 s for ``high``, 30 s for the others."""
    interval: Duration = 300.0
    """Least time between two messages of one alert; does not hold back ``critical``."""
    escalate: bool = True
    """Whether an alert is one degree more severe for every further family of reasons in it, and an
    attack on many accounts for every size it reaches (10 and 50 users)."""
    wave: Wave = Wave()

    def wait_s(self, severity: Severity) -> float:
        """Seconds that a new alert gathers events."""
        return self.wait.get(severity, _WAIT_S[severity])

    def goes_on(self, alert: Alert, now_s: float) -> bool:
        """Whether an alert still takes events."""
        return now_s - alert.updated_s <= self.quiet and now_s - alert.opened_s <= self.longest


class Retry(Strict):
    """How long a channel that fails is tried: pauses double from ``first`` to ``most``."""

    first: Duration = 5.0
    most: Duration = 300.0
    give_up: Duration = 24 * 3600.0
    """A message that still fails at this age is recorded as failed; until then it is tried."""


class Rules(Strict):
    """The whole file. Without any key alerts are kept and shown, and sent nowhere."""

    channels: dict[Name, Channel] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    otherwise: tuple[str, ...] = ()
    """Channels of alerts that no route takes."""
    groups: dict[Name, tuple[Pattern, ...]] = Field(default_factory=dict)
    """Users by name, for conditions; ``*`` stands for anything."""
    times: dict[Name, Times] = Field(default_factory=dict)
    reasons: dict[ReasonCode, ReasonRule] = Field(default_factory=dict)
    """Thresholds by reason. Unless given, ``brute_force_success`` and ``mfa_fatigue`` are at
    least ``high``, ``password_spraying`` at least ``medium``."""
    rules: tuple[Rule, ...] = ()
    """Applied to every event in order; the last severity set holds."""
    grouping: Grouping = Grouping()
    suppress: dict[Severity, Duration] = Field(default_factory=dict)
    """For how long what was told is no news again, by severity, unless the severity has risen.
    Unless given: 24 h for ``low``, 12 h for ``medium``, 4 h for ``high``, 0 s for ``critical``."""
    inhibit: bool = True
    """Whether users at whom an address only failed are left to the alert of that address."""
    retry: Retry = Retry()
    keep: Duration = 90 * 86400.0
    """How long alerts are kept."""
    link: Annotated[str, AfterValidator(_link)] | None = None
    """Address of ztad for links in messages, such as https://ztad.example.org."""

    def reason(self, code: str) -> ReasonRule | None:
        """The thresholds of a reason, its own or the usual ones."""
        return self.reasons.get(code) or _REASONS.get(code)

    def suppress_s(self, severity: Severity) -> float:
        """Seconds for which what was told is no news again."""
        return self.suppress.get(severity, _SUPPRESS_S[severity])

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for key, name, known in self._named():
            if name not in known:
                raise ValueError(f"{key}: {unknown(name, list(known))}")
        return self

    def _named(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every use of a name, and where it has to be defined."""
        channels: dict[str, Any] = dict(self.channels)
        for name in self.otherwise:
            yield "otherwise", name, channels
        for route in self.routes:
            for name in route.channels:
                yield f"routes.{route.name}.channels", name, channels
        conditions = [(f"routes.{each.name}.when", each.when) for each in self.routes]
        conditions += [(f"rules.{each.name}.when", each.when) for each in self.rules]
        for key, condition in conditions:
            for name in (*condition.groups, *condition.not_groups):
                yield f"{key}.groups", name, dict(self.groups)
            for span in (condition.during, condition.outside):
                if span is not None:
                    yield f"{key}.times", span, dict(self.times)


def load(text: str | bytes) -> Rules:
    """Rules of a YAML text; raises :class:`RulesError` with every problem found."""
    if len(text) > MOST_BYTES:
        raise RulesError([f"larger than {MOST_BYTES:,} bytes; this is no rules file"])
    try:
        given = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise RulesError([f"{where}{error.problem or 'no YAML'}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise RulesError(["no YAML; expected a text in UTF-8"]) from None
    if not isinstance(given, dict | None):
        raise RulesError(["expected keys such as channels and routes"])
    try:
        return Rules.model_validate(given or {})
    except ValidationError as error:
        raise RulesError(problems(error)) from None


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)
