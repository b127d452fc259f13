"""The detector families: one module each, one line of `DETECTORS`."""

from . import deep_svdd
from .detector import Detector

__all__ = ["DETECTORS", "Detector"]

DETECTORS: dict[str, Detector] = {
    "deep_svdd": deep_svdd,
}
