"""The company the synthetic users work for: offices, departments, resources, shared egress."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tuning.synthetic.geography import City, Place, city_named, fixed_networks, place_in

COMPANY_WIDE = (
    "mail",
    "calendar",
    "chat",
    "intranet",
    "wiki",
    "file-share",
    "time-sheet",
    "travel-desk",
)

DEPARTMENTS: dict[str, tuple[str, ...]] = {
    "engineering": (
        "git",
        "ci-runner",
        "artifact-store",
        "build-07",
        "staging-api",
        "issue-board",
        "grafana",
        "log-search",
    ),
    "operations": ("bastion", "k8s-console", "db-prod-01", "db-prod-02", "backup-vault", "pager"),
    "finance": ("ledger", "payroll", "invoice-hub", "treasury", "expense-audit", "tax-archive"),
    "sales": ("crm", "quote-tool", "contract-store", "partner-portal", "lead-lake"),
    "people": ("hr-core", "recruiting", "benefits", "training-hub"),
    "legal": ("matter-files", "e-sign", "policy-register", "litigation-hold"),
    "research": ("notebook-cluster", "dataset-lake", "gpu-queue", "model-store", "lab-share"),
    "support": ("ticket-desk", "remote-assist", "kb-editor", "call-recordings", "refund-console"),
}

# what an administrator guards: control of machines, code, money or people
PRIVILEGED = (
    "bastion",
    "k8s-console",
    "db-prod-01",
    "db-prod-02",
    "backup-vault",
    "ci-runner",
    "artifact-store",
    "treasury",
    "payroll",
    "hr-core",
    "remote-assist",
    "refund-console",
)

PROJECTS = tuple(f"project-{number:02d}" for number in range(1, 41))

_OFFICES = ("Berlin", "London", "New York", "Singapore", "Bengaluru", "Sao Paulo")
_VPN_EXITS = ("Frankfurt", "Ashburn")


@dataclass(frozen=True, slots=True)
class Office:
    """An office: everyone inside it leaves through one address."""

    city: City
    egress: Place


@dataclass(frozen=True, slots=True)
class Organisation:
    """What all users share: mail domain, offices, VPN exits, the server room."""

    domain: str
    offices: tuple[Office, ...]
    vpn_exits: tuple[Place, ...]
    server_room: Place


def make_organisation(rng: random.Random, domain: str) -> Organisation:
    """A company with six offices and two VPN exits; addresses depend on `rng` alone."""
    offices = tuple(Office(city, _egress(rng, city)) for city in map(city_named, _OFFICES))
    exits = tuple(_egress(rng, city) for city in map(city_named, _VPN_EXITS))
    return Organisation(domain, offices, exits, _egress(rng, city_named("Frankfurt")))


def _egress(rng: random.Random, city: City) -> Place:
    return place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536))
