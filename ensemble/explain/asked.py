"""``Asked``: one scored event as it was kept, which is all that an explanation is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.verdict import Verdict
from preprocessing.history import Evidence
from preprocessing.trail import LENGTH, WIDTH, Trails

_VERDICT = msgspec.json.Decoder(Verdict)
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)


@dataclass(frozen=True, slots=True)
class Asked:
    """``values`` are the features that detectors saw, float32 (d,), in decades of surprise;
    ``evidence`` is None where nothing was notable enough to keep it."""

    verdict: Verdict
    values: NDArray[np.float32]
    evidence: Evidence | None = None

    @classmethod
    def decode(cls, verdict: bytes, values: bytes, evidence: bytes | None) -> Asked:
        """What the Recorder keeps of an event: JSON, float32 and msgpack."""
        known = None if evidence is None else _EVIDENCE.decode(evidence)
        return cls(_VERDICT.decode(verdict), np.frombuffer(values, np.float32), known)

    @property
    def detectors(self) -> Sequence[str]:
        """Those that answered when the event was scored."""
        return tuple(self.verdict.detectors)

    @property
    def trail(self) -> Trails | None:
        """What the user's last events looked like, (1, LENGTH, WIDTH), where it is kept."""
        data = self.evidence.trail if self.evidence else b""
        if len(data) != LENGTH * WIDTH:
            return None
        return np.frombuffer(data, np.uint8).reshape(1, LENGTH, WIDTH)
