"""Rows of plain values: what parts of a history are in a snapshot, and users while they rest.

Types alone, by which msgspec checks what it reads; preprocessing/packing.py makes them. A snapshot
of other rows has another SNAPSHOT_FORMAT.
"""

from __future__ import annotations

from preprocessing.whereabouts import Place, Unproven

Two = tuple[float, float]
Three = tuple[float, float, float]
Five = tuple[float, float, float, float, float]

#: Numbers (doubles, little-endian), values of all fields, places, peers. Until format 11 the values
#: were a dictionary of counts for each field, which is still read.
Baseline = tuple[bytes, list[str | dict[str, float]], list[Three], bytes]
UserFailures = tuple[Two, Two, Two, Two, Two]
User = tuple[
    bytes,  # numbers
    Place | None,
    Baseline | None,
    bytes,  # trail
    dict[str, Unproven],
    dict[str, Two],  # opened
]
AddressFailures = tuple[Two, Two, Two, Two, dict[str, float]]
Address = tuple[AddressFailures | None, list[str], dict[str, float], int]
Device = tuple[list[str]]
Session = tuple[str, str | None, str | None, str | None]
Generation = list[dict[str, bytes]]
Crowd = tuple[float, Generation, Generation]
Tenant = tuple[Baseline, Crowd, Crowd, Two, AddressFailures, Three, list[Two], float]
