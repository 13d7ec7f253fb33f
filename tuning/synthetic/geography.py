"""Cities and access networks of the synthetic world."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

NetworkKind = Literal["fixed", "mobile", "tunnel"]


@dataclass(frozen=True, slots=True)
class City:
    """A city: ISO country, centre in degrees, offset from UTC in hours (June)."""

    name: str
    country: str
    latitude: float
    longitude: float
    utc_offset_h: float


@dataclass(frozen=True, slots=True)
class Network:
    """An access network: autonomous system number and the /16 its customers live in."""

    asn: int
    prefix: str
    kind: NetworkKind


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event seems to come from, as a geo-IP database would tell it."""

    ip: str
    asn: int
    country: str
    city: str | None
    latitude: float
    longitude: float


def _city(row: str) -> City:
    name, country, latitude, longitude, offset = row.split(",")
    return City(name, country, float(latitude), float(longitude), float(offset))


CITIES: tuple[City, ...] = tuple(
    _city(row)
    for row in """\
Berlin,DE,52.520,13.405,2
Munich,DE,48.137,11.575,2
Hamburg,DE,53.551,9.994,2
Frankfurt,DE,50.110,8.682,2
London,GB,51.507,-0.128,1
Manchester,GB,53.481,-2.242,1
Edinburgh,GB,55.953,-3.188,1
Dublin,IE,53.350,-6.260,1
Paris,FR,48.857,2.352,2
Lyon,FR,45.764,4.836,2
Amsterdam,NL,52.368,4.904,2
Madrid,ES,40.417,-3.704,2
Barcelona,ES,41.387,2.170,2
Lisbon,PT,38.722,-9.139,1
Milan,IT,45.464,9.190,2
Rome,IT,41.903,12.496,2
Zurich,CH,47.377,8.542,2
Warsaw,PL,52.230,21.012,2
Stockholm,SE,59.329,18.069,2
Bucharest,RO,44.427,26.103,3
Istanbul,TR,41.008,28.978,3
Dubai,AE,25.205,55.271,4
Mumbai,IN,19.076,72.878,5.5
Bengaluru,IN,12.972,77.595,5.5
Singapore,SG,1.352,103.820,8
Tokyo,JP,35.677,139.650,9
Osaka,JP,34.694,135.502,9
Seoul,KR,37.567,126.978,9
Sydney,AU,-33.869,151.209,10
Melbourne,AU,-37.814,144.963,10
New York,US,40.713,-74.006,-4
Boston,US,42.360,-71.059,-4
Ashburn,US,39.044,-77.488,-4
Chicago,US,41.878,-87.630,-5
Austin,US,30.267,-97.743,-5
Denver,US,39.739,-104.990,-6
Seattle,US,47.606,-122.332,-7
San Francisco,US,37.775,-122.419,-7
Toronto,CA,43.653,-79.383,-4
Vancouver,CA,49.283,-123.121,-7
Mexico City,MX,19.433,-99.133,-6
Sao Paulo,BR,-23.551,-46.633,-3
Rio de Janeiro,BR,-22.907,-43.173,-3
Buenos Aires,AR,-34.604,-58.382,-3
Cape Town,ZA,-33.925,18.424,2
Johannesburg,ZA,-26.204,28.047,2
Lagos,NG,6.524,3.379,1
Nairobi,KE,-1.292,36.822,3""".splitlines()
)

# country: two fixed-line networks, then one mobile carrier, each "asn prefix"
_NETWORKS = """\
DE 3320 87.150|3209 88.70|3320 80.187
GB 2856 86.160|5607 90.200|12576 31.94
IE 5466 86.40|6830 89.100|15502 109.76
FR 3215 90.40|12322 82.64|15557 92.184
NL 1136 77.160|33915 84.24|50266 62.140
ES 3352 83.40|12479 90.160|12430 77.208
PT 3243 85.240|2860 94.60|12353 87.103
IT 3269 79.20|30722 93.144|16232 151.18
CH 3303 85.0|6730 84.72|6730 178.197
PL 5617 83.20|12741 89.64|8374 37.47
SE 3301 81.224|1257 90.224|44034 94.234
RO 8708 86.120|9050 92.80|12302 109.166
TR 9121 88.240|34984 85.96|16135 46.154
AE 5384 86.96|15802 91.72|5384 94.200
IN 24560 122.160|45609 106.192|55836 49.32
SG 9506 116.14|4773 119.74|45143 118.200
JP 4713 114.160|2516 106.128|9605 49.98
KR 4766 121.128|9318 116.40|9644 223.38
AU 1221 101.160|4804 122.104|133612 49.180
US 7922 73.40|7018 108.64|21928 172.56
CA 577 70.48|812 99.224|36925 184.151
MX 8151 187.128|28509 189.216|28403 189.128
BR 27699 177.32|28573 189.32|26599 177.160
AR 7303 181.16|22927 186.128|7303 190.138
ZA 3741 41.144|37457 102.128|16637 41.112
NG 37148 41.184|29465 105.112|36873 105.120
KE 33771 41.80|37061 105.48|33771 196.201"""


def _networks(row: str) -> tuple[str, tuple[Network, ...]]:
    country, rest = row.split(" ", 1)
    kinds: tuple[NetworkKind, ...] = ("fixed", "fixed", "mobile")
    cells = (cell.split() for cell in rest.split("|"))
    return country, tuple(
        Network(int(asn), prefix, kind) for (asn, prefix), kind in zip(cells, kinds, strict=True)
    )


NETWORKS: dict[str, tuple[Network, ...]] = dict(_networks(row) for row in _NETWORKS.splitlines())


# providers of consumer VPNs: "asn prefix city"; each exit serves many customers at once
_TUNNELS = """\
9009 185.195 Amsterdam
9009 89.238 London
60068 185.229 Frankfurt
212238 138.199 New York
39351 193.138 Stockholm
212238 149.40 Singapore
136787 45.83 Zurich
147049 37.120 Chicago"""

EXITS_PER_TUNNEL = 12


def fixed_networks(city: City) -> tuple[Network, ...]:
    """The fixed-line networks a household, office or hotel of the city would use."""
    return NETWORKS[city.country][:2]


def mobile_network(city: City) -> Network:
    """The mobile carrier of the city's country."""
    return NETWORKS[city.country][2]


_BY_NAME = {city.name: city for city in CITIES}


def city_named(name: str) -> City:
    """The city of that name; `KeyError` when there is none."""
    return _BY_NAME[name]


def tunnel_exit(rng: random.Random, *, country: str = "") -> Place:
    """An exit of a consumer VPN; in `country` when a provider has one there."""
    near = [row for row in TUNNELS if row[1].country == country] or TUNNELS
    network, city = rng.choice(near)
    return place_in(city, network, 257 * rng.randrange(EXITS_PER_TUNNEL))


def address(network: Network, host: int) -> str:
    """The IPv4 address number `host` (0 to 65535) of the network."""
    return f"{network.prefix}.{(host >> 8) & 255}.{1 + (host & 255) % 254}"


def place_in(city: City, network: Network, host: int) -> Place:
    """A place in the city; geo-IP knows a city only to a few km, and each /24 differs."""
    block = (host >> 8) * 2654435761 % 65536
    return Place(
        ip=address(network, host),
        asn=network.asn,
        country=city.country,
        city=city.name,
        latitude=round(city.latitude + (block % 17 - 8) * 0.008, 4),
        longitude=round(city.longitude + (block // 17 % 17 - 8) * 0.01, 4),
    )


def displaced(city: City, bearing_deg: float, km: float) -> tuple[float, float]:
    """Latitude and longitude `km` away from the city centre; good enough below 500 km."""
    bearing = math.radians(bearing_deg)
    latitude = city.latitude + km * math.cos(bearing) / 111.2
    scale = 111.2 * math.cos(math.radians(city.latitude))
    return round(latitude, 4), round(city.longitude + km * math.sin(bearing) / scale, 4)


def _tunnel(row: str) -> tuple[Network, City]:
    asn, prefix, city = row.split(" ", 2)
    return Network(int(asn), prefix, "tunnel"), city_named(city)


TUNNELS: tuple[tuple[Network, City], ...] = tuple(map(_tunnel, _TUNNELS.splitlines()))
TUNNEL_ASNS = frozenset(network.asn for network, _ in TUNNELS)
