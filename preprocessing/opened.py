"""Resources that a user began to use lately, and how scattered these are over the organisation.

A new task brings resources that the same people use; whoever looks around, or moves from host to
host, opens what belongs to many. So a newly used resource counts as far as its users are not those
of another one opened lately, and the sum is about the number of groups whose resources
the user began to use. It speaks of every event on such a resource, until it is no longer new.
"""

from __future__ import annotations

from math import exp
from typing import Final

from preprocessing.accumulated import WEEK_S
from preprocessing.crowd import Crowd, slot
from preprocessing.history import SHARED
from preprocessing.sighting import Sighting
from preprocessing.state import Baseline, User

#: A resource is newly used for this long, seconds: two weeks.
OPENED_S: Final = 2 * WEEK_S
#: Newly used resources remembered of one user; the first is forgotten first.
MOST_OPENED: Final = 16
#: Learned events of a user, and time known, before which everything is new.
LEAST_EVENTS: Final = 20.0
LEAST_KNOWN_S: Final = WEEK_S

_RESOURCE: Final = SHARED.index("resource")


def scatter(seen: Sighting, user: User, base: Baseline, crowd: Crowd) -> float:
    """Groups whose resources the user began to use, fading over a week, at an event on one of
    these; 0 at every other."""
    resource, opened = seen.values[_RESOURCE], user.opened
    mine = opened.get(resource or "")
    if mine is not None:
        return _sum(user, seen.at_s) if seen.at_s - mine[0] < OPENED_S else 0.0
    if resource is None or _RESOURCE not in seen.fresh:
        return 0.0
    settled = base.events >= LEAST_EVENTS and seen.at_s - base.first_s >= LEAST_KNOWN_S
    if not settled or base.habits.knows(_RESOURCE, resource):
        return 0.0
    lately = [name for name, (at_s, _) in opened.items() if seen.at_s - at_s < OPENED_S]
    own = 1 << slot(seen.user_id, 0)
    seen.opened = 1.0 - crowd.overlap(resource, lately, own)
    return seen.opened + _sum(user, seen.at_s)


def remember_opened(seen: Sighting, user: User) -> None:
    """Keep that a resource was used for the first time, learned or not."""
    resource = seen.values[_RESOURCE]
    if seen.opened < 0 or resource is None:
        return
    user.opened[resource] = seen.at_s, seen.opened
    if len(user.opened) > MOST_OPENED:
        del user.opened[next(iter(user.opened))]


def _sum(user: User, at_s: float) -> float:
    return sum(
        weight * exp(-max(0.0, at_s - since_s) / WEEK_S) for since_s, weight in user.opened.values()
    )
