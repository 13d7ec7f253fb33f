"""``UserHistory``: what was known about a user, an address and the tenant just before an event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.accumulated import SUMS
from preprocessing.event import AuthEvent
from preprocessing.feedback import Feedback
from preprocessing.whereabouts import Place

#: Time constants of the decaying counts, seconds. Fifteen minutes is the window of the published
#: spraying and brute-force rules (Elastic, Sigma); a day catches the slow variants.
SHORT_S: Final = 900.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0

#: Fields whose values a user is known by.
CATEGORIES: Final[tuple[str, ...]] = (
    "country", "network", "resource", "agent", "method", "kind", "device", "address", "mfa",
)  # fmt: skip
#: Those that users share: what is new to one of them, peers and the tenant may know.
SHARED: Final[tuple[str, ...]] = CATEGORIES[:6]

#: Columns of ``Facts.values``; units in the name or in bits (see preprocessing/features.py).
FACTS: Final[tuple[str, ...]] = (
    "hour_bits", "day_bits", "gap_s", "events_1h", "usual_events_1h",
    "travel_km", "travel_s", "home_km", "bytes", "bytes_user_dev", "bytes_tenant_dev",
    *(f"{name}_user_bits" for name in CATEGORIES),
    *(f"{name}_peer_bits" for name in SHARED),
    *(f"{name}_tenant_bits" for name in SHARED),
    "user_failures_15m", "user_failures_1d", "address_failures_15m", "address_failures_1d",
    "address_failing_users_1h", "address_regulars", "mfa_denials_15m", "reported_attempts",
    "outcome_bits", "user_new_bits", "success", "learned",
    "user_failures_1h", "address_failures_1h", "mfa_denials_1h",
    "bytes_drift_dev", "session_device", "session_agent", "session_network",
    *SUMS, *(f"usual_{name}" for name in SUMS),
    "service_share", "factor_age_s", "strange_failing_users_1h", "usual_strange_failing_users",
    "unproven_age_s", "unproven_silence_s", "unproven_hour_bits", "unproven_new_bits",
    "unproven_bytes_dev", "unproven_events", "scattered_resources",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Bounds and habits of a history. Times in seconds, the rest are counts."""

    late_s: float = 900.0
    """An event older than its user's newest by more than this is late (design default 15 min)."""
    learning_events: float = 10.0
    """Fewer learned events than this and the user is still in learning mode (Entra: 10 logins)."""
    egress_users: int = 5
    """An address with this many regular users is an office or VPN exit, not a person's place."""
    dormant_s: float = 180 * DAY_S
    """Who comes back after longer than this is in learning mode again (Sentinel: dormant account
    180 days)."""
    user_limit: float = 512.0
    """Weight at which a user's summaries halve: about the last 500 events count."""
    tenant_limit: float = 200_000.0
    user_values: int = 64
    """Most values remembered per user and field."""
    tenant_values: int = 20_000
    user_places: int = 8
    most_users: int = 1_000_000
    """Users of whom something was learned; beyond it the longest silent is forgotten."""
    most_addresses: int = 500_000
    """Addresses somebody regularly works from."""
    most_devices: int = 500_000
    """Devices that somebody regularly uses."""
    most_sessions: int = 250_000
    """Sessions remembered; the longest unused is forgotten first."""
    most_awake: int = 10_000
    """Users, addresses and devices each, and strangers of either, that are kept ready for their
    next event; the longest unused of the others rest, packed into a tenth of the memory."""
    most_strangers: int = 250_000
    """User names, and addresses, of which nothing was learned: they displace only each other."""
    most_pending: int = 100_000
    """Observed events kept for ``learn``; the oldest are given up unlearned."""
    most_learned: int = 50_000
    """Learned events kept so that feedback can take them out again, about 1 KB each."""
    most_seen: int = 1_000_000
    """Event ids remembered for idempotency."""
    seen_s: float = 86400.0
    """How long an id is remembered."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was known just before each of n events, row by row.

    ``values`` is float64 (n, len(FACTS)); ``late``, ``learning``, ``duplicate`` are bool (n,);
    ``places`` holds each user's last good place or None, ``trails`` what each user's last events
    looked like, uint8 (n, LENGTH, WIDTH) as in preprocessing/trail.py.
    """

    values: NDArray[np.float64]
    late: NDArray[np.bool_]
    learning: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    places: list[Place | None]
    trails: NDArray[np.uint8]
    marked: Sequence[int] = ()
    """Rows of events of an attacker whom an analyst has found (preprocessing/feedback.py)."""
    returned: Sequence[int] = ()
    """Rows of users in learning mode because they were away for long, or because of ``alone``."""
    packed: Sequence[bytes] = ()
    """The events, each as :func:`preprocessing.event.pack_event` writes it: once for all who keep
    them."""
    alone: bool = False
    """Whether others may know more, who could not be asked: then every row is ``learning``."""


class Usual(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One field of a user's baseline: the commonest value, and how often each was seen."""

    value: str
    count: int
    total: int
    observed: int


class Evidence(msgspec.Struct, array_like=True, frozen=True):
    """What an analyst is shown of the baseline an event was judged against."""

    event: AuthEvent
    facts: tuple[float, ...]
    place: Place | None
    events: int
    """Learned events of this user."""
    days: float
    """Days between the first learned event of this user and this event."""
    usual: dict[str, Usual]
    hours: tuple[int, ...]
    """Hours of the day (UTC) in which this user is usually active."""
    usual_bytes: float
    typical: bytes = b""
    """An encoded :class:`preprocessing.typical.Typical`, or empty."""
    trail: bytes = b""
    """The trail of the event, (LENGTH, WIDTH) uint8 as in preprocessing/trail.py, or empty."""
    began: tuple[str | None, ...] = ()
    """Device, agent and network with which the event's session began; empty without a session."""


class UserHistory(Protocol):
    """What was known just before an event. One writer at a time; not thread-safe.

    Causal: the facts of an event depend only on events observed, and learned, before it. The same
    events in the same order give the same facts whatever the batch size, as long as ``learn`` is
    called at the same places. Memory is bounded by :class:`HistorySettings`.
    """

    def observe(self, events: Sequence[AuthEvent], *, now_s: float) -> Facts:
        """Facts for each event in order, then activity recorded at once.

        A repeated ``event_id`` gets facts, is marked duplicate and changes nothing. A late event
        gets no travel pair and will not be learned.
        """

    def evidence(self, event: AuthEvent, facts: Facts, row: int) -> Evidence:
        """The baseline behind one row of ``facts``; call it before the next ``learn``."""

    def with_typical(self, evidence: Evidence) -> Evidence:
        """The same with what the event would be like as its user usually makes it, for
        counterfactuals; unchanged while nothing was learned. Call it before the next ``learn``."""

    def learn(self, event_ids: Iterable[str]) -> int:
        """Add observed events to the baseline; unknown ids are ignored. Returns how many."""

    def correct(self, feedback: Sequence[Feedback]) -> int:
        """Do what analysts said, once each, and return the last serial that was heard; without
        any feedback only that. Call it whenever ``learn`` may be called."""

    def snapshot(self, *, seen: bool = True) -> bytes:
        """Everything, as bytes without code; ``seen=False`` leaves out ids, single events and
        feedback."""

    def restore(self, state: bytes) -> None:
        """Become what a snapshot holds; raises :class:`HistoryError` if it is none."""

    def close(self) -> None:
        """Keep what has to be kept and let go of files; nothing may be called after it."""


class HistoryError(ValueError):
    """A history that cannot be restored, and what to do about it."""
