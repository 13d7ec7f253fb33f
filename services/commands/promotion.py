"""Another version in another part: in the running gateway, if there is one, then on record."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from services.commands.live import (
    Gateway,
    GatewayError,
    Live,
    NoGateway,
    gateway_of,
    told,
    with_version,
    without,
)
from services.commands.registering import registry_of, who
from services.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.aliases import Alias


def promote(args: argparse.Namespace) -> int:
    """Exit code 0 once the version plays its part; nothing is changed otherwise."""
    settings = load()
    registry = registry_of(settings)
    alias: Alias = args.alias
    version = registry.version(args.version)
    registry.check_alias(alias, version)
    if alias == "shadow" and args.weight is not None:
        raise GatewayError("--weight: a shadow answers nobody; leave it out")
    folder = registry.fetch(version.version)
    print(f"{version.version}: verified in {folder}")
    gateway = gateway_of(args, settings.api_key)
    _change(gateway, lambda now: with_version(now, alias, version.version, args.weight))
    registry.set_alias(alias, version.version, by=who())
    print(f"registry: {version.version} is the {alias}")
    return 0


def rollback(args: argparse.Namespace) -> int:
    """Exit code 0 once the alias names what it named before; nothing is changed otherwise."""
    settings = load()
    registry = registry_of(settings)
    alias: Alias = args.alias
    current, target = registry.aliases().get(alias, "none"), registry.before(alias)
    if target:
        registry.check_alias(alias, registry.version(target))
        print(f"{target}: verified in {registry.fetch(target)}")
    gateway = gateway_of(args, settings.api_key)
    _change(
        gateway, lambda now: with_version(now, alias, target) if target else without(now, alias)
    )
    registry.rollback(alias, by=who())
    print(f"registry: the {alias} is {target or 'none'} again, no longer {current}")
    return 0


def _change(gateway: Gateway, plan: Callable[[Live], Live]) -> None:
    """Change a running gateway; where there is none, say what that means."""
    try:
        now = gateway.routing()
    except NoGateway:
        message = f"no gateway answers at {gateway.url}: only the registry is changed"
        print(f"{message}; 'ztad serve' starts with the champion", file=sys.stderr)
        return
    wanted = plan(now)
    if wanted != now:
        now = gateway.change(wanted)
    print(f"{gateway.url}: {told(now)}")
