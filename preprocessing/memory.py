"""``State``: all that an embedded history holds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from preprocessing.feedback import Ledger
from preprocessing.known import Known
from preprocessing.seen import SeenIds
from preprocessing.sighting import Past, Sighting
from preprocessing.state import Address, Device, Session, Tenant, User


@dataclass(slots=True)
class State:
    """All of a history. ``pending`` maps the id of each unlearned event to it, oldest first,
    ``past`` is what was learned lately; ``ledger`` is what analysts said."""

    users: Known[User]
    addresses: Known[Address]
    devices: Known[Device]
    seen: SeenIds
    past: Past
    sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    tenant: Tenant = field(default_factory=Tenant)
    pending: OrderedDict[str, Sighting] = field(default_factory=OrderedDict)
    ledger: Ledger = field(default_factory=Ledger)
