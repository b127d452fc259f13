"""Detectors and the diagnostic classifier: their architectures, and how they are trained.

Importing `nas` loads no TensorFlow; the modules that need it import Keras when they are called.
"""

from .detectors import DETECTORS, Detector

__all__ = ["DETECTORS", "Detector"]
