"""Devices and the user agents they send, which change as software is updated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Platform = Literal["windows", "mac", "linux", "iphone", "android"]

LAPTOPS: tuple[Platform, ...] = ("windows", "mac", "linux")
PHONES: tuple[Platform, ...] = ("iphone", "android")

# (first day of the period on which the release is out, version)
_CHROME = ((-30, "136"), (3, "137"), (24, "138"))
_FIREFOX = ((-30, "138"), (-5, "139"), (22, "140"))
_SAFARI = ((-60, "18.3"), (-22, "18.4"), (9, "18.5"))
_IOS = ((-60, "18_3_2"), (-22, "18_4"), (9, "18_5"))

_HANDED_OUT = {"chrome": "139", "firefox": "141", "safari": "18.6", "ios": "18_6"}

_TEMPLATES: dict[tuple[Platform, str], str] = {
    ("windows", "chrome"): (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/{chrome}.0.0.0 Safari/537.36"
    ),
    ("windows", "edge"): (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/{chrome}.0.0.0 Safari/537.36 Edg/{chrome}.0.0.0"
    ),
    ("windows", "firefox"): (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{firefox}.0) "
        "Gecko/20100101 Firefox/{firefox}.0"
    ),
    ("mac", "chrome"): (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/{chrome}.0.0.0 Safari/537.36"
    ),
    ("mac", "safari"): (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/{safari} Safari/605.1.15"
    ),
    ("linux", "firefox"): (
        "Mozilla/5.0 (X11; Linux x86_64; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0"
    ),
    ("linux", "chrome"): (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/{chrome}.0.0.0 Safari/537.36"
    ),
    ("iphone", "safari"): (
        "Mozilla/5.0 (iPhone; CPU iPhone OS {ios} like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/{safari} Mobile/15E148 Safari/604.1"
    ),
    ("android", "chrome"): (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/{chrome}.0.0.0 Mobile Safari/537.36"
    ),
}


@dataclass(frozen=True, slots=True)
class Device:
    """One device: it takes updates `lag_days` late and is used on days [first_day, last_day).

    From `update_day` on it has the release after all others, which the company hands out.
    """

    device_id: str
    platform: Platform
    browser: str
    lag_days: int
    first_day: int = -1
    last_day: int = 10_000
    update_day: int = 10_000

    @property
    def is_phone(self) -> bool:
        """Whether the device is carried about and mostly on a mobile network."""
        return self.platform in PHONES

    def user_agent(self, day: int) -> str:
        """What the device sends on that day of the period."""
        template = _TEMPLATES[self.platform, self.browser]
        if day >= self.update_day:
            return template.format(**_HANDED_OUT)
        seen = day - self.lag_days
        return template.format(
            chrome=_newest(_CHROME, seen),
            firefox=_newest(_FIREFOX, seen),
            safari=_newest(_SAFARI, seen),
            ios=_newest(_IOS, seen),
        )


def _newest(releases: tuple[tuple[int, str], ...], day: int) -> str:
    out = [version for released, version in releases if released <= day]
    return out[-1] if out else releases[0][1]


def make_device(
    rng: random.Random,
    platforms: tuple[Platform, ...],
    *,
    first_day: int = -1,
    last_day: int = 10_000,
) -> Device:
    """A device of one of the platforms, with a browser people really run on it."""
    platform = rng.choice(platforms)
    browsers = [browser for kind, browser in _TEMPLATES if kind == platform]
    return Device(
        device_id=f"{rng.getrandbits(48):012x}",
        platform=platform,
        browser=rng.choice(browsers),
        lag_days=min(21, int(rng.expovariate(1 / 4))),
        first_day=first_day,
        last_day=last_day,
    )
