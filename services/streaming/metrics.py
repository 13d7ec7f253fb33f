"""What stream workers count, by the names that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.metrics import MetricName, Values
from services.streaming.counts import Counts, State

Told = dict[MetricName, list[tuple[tuple[str, ...], float]]]
"""Values by the values of their labels, as they travel to the gateway."""


def told(counts: Counts, state: State) -> Told:
    """What one worker counts.

    >>> told(Counts(consumed=7), State("w", 7, {"ztad.events:3": 2}, 0, False, None, None))[
    ...     "ztad_stream_lag_events"]
    [(('ztad.events', '3'), 2)]
    """
    return {
        "ztad_stream_consumed_total": [((), counts.consumed)],
        "ztad_stream_events_total": _labelled(counts.events, ("ordinary", "alert", "duplicate")),
        "ztad_stream_dead_letters_total": _labelled(counts.letters, REASONS),
        "ztad_stream_variant_events_total": list(counts.variants.items()),
        "ztad_stream_variant_scores_total": list(counts.decades.items()),
        "ztad_stream_flagged_events_total": list(counts.flagged.items()),
        "ztad_stream_lag_events": [
            ((topic, number), lag)
            for (topic, _, number), lag in (
                (at.rpartition(":"), lag) for at, lag in state.lag.items()
            )
        ],
        "ztad_stream_in_flight": [((), state.in_flight)],
        "ztad_stream_paused": [((), float(state.paused))],
        "ztad_stream_fused": [((), float(state.fused is not None))],
        "ztad_stream_waiting": [((), float(state.trouble is not None))],
        "ztad_stream_commits_total": [(("done",), counts.commits),
                                      (("failed",), counts.not_committed)],
        "ztad_stream_commit_seconds_total": [((), counts.commit_s)],
        "ztad_stream_retries_total": [((), counts.failures)],
        "ztad_stream_rebalances_total": _labelled(
            counts.rebalances, ("assigned", "revoked", "lost")
        ),
    }  # fmt: skip


#: Why a message is a dead letter, as ``services.streaming.dead_letter.Reason``.
REASONS = ("invalid", "undecodable", "too_large", "unscorable")


def together(pages: Iterable[Told]) -> dict[MetricName, Values]:
    """What all workers count: everything is a sum, and no partition has two owners.

    >>> one, other = {"ztad_stream_paused": [((), 1.0)]}, {"ztad_stream_paused": [((), 1.0)]}
    >>> together([one, other])
    {'ztad_stream_paused': [((), 2.0)]}
    """
    sums: dict[MetricName, Counter[tuple[str, ...]]] = {}
    for page in pages:
        for name, values in page.items():
            into = sums.setdefault(name, Counter())
            for labels, value in values:
                into[labels] += value  # type: ignore[assignment]
    return {name: list(values.items()) for name, values in sums.items()}


def _labelled(
    counts: Mapping[str, int], every: Iterable[str]
) -> list[tuple[tuple[str, ...], float]]:
    """From 0 on: the first of a kind has to show in a rate."""
    return [((name,), counts.get(name, 0)) for name in every]
