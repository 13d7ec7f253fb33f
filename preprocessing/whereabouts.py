"""Where a user was seen, and on what: immutable, for it is part of evidence and feedback too."""

from __future__ import annotations

from math import exp

import msgspec

from preprocessing.accumulated import NO_SUMS, WEEK_S, Four

#: Addresses remembered of an unproven device.
MOST_ADDRESSES = 8


class Place(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a user was seen: degrees, seconds since the epoch, and what an analyst reads."""

    latitude: float
    longitude: float
    at_s: float
    city: str | None = None
    country: str | None = None
    source_ip: str | None = None
    device_id: str | None = None


class Unproven(msgspec.Struct, array_like=True, gc=False):
    """A device that nobody has vouched for (preprocessing/unproven.py).

    First seen at ``since_s``, after ``silence_s`` without a success of its user. ``sums`` fade over
    a week, as of ``at_s``: bits of strange hours, bits of new resources, deviations of transferred
    bytes, and events. ``addresses`` are those it came from.
    """

    since_s: float
    silence_s: float
    at_s: float
    sums: Four = NO_SUMS
    addresses: tuple[str, ...] = ()

    def then(self, at_s: float, added: Four, address: str | None) -> Unproven:
        """The same after one more event; late ones count in full."""
        left = exp(-max(0.0, at_s - self.at_s) / WEEK_S)
        hours, new, sizes, events = self.sums
        addresses = self.addresses
        if address is not None and address not in addresses:
            addresses = (*addresses, address)[-MOST_ADDRESSES:]
        return Unproven(
            self.since_s,
            self.silence_s,
            max(self.at_s, at_s),
            (
                hours * left + added[0],
                new * left + added[1],
                sizes * left + added[2],
                events * left + added[3],
            ),
            addresses,
        )
