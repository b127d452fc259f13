"""Windows as large as others and yet unlike them, which no score by amplitude alone tells apart."""

from dataclasses import replace

import keras
import numpy as np

from export.score_rules import SCORE_RULES
from nas.detectors.detector import build_detector, outputs_of


def flipped(windows):
    """Return the windows upside down."""
    return replace(windows, codes=-np.maximum(windows.codes, -127))


def turned(windows):
    """Return the windows backwards in time."""
    return replace(windows, codes=windows.codes[:, ::-1])


def scattered(windows):
    """Return noise of each window's spectrum: its phases are drawn anew, alike in all leads."""
    spectrum = np.fft.rfft(windows.codes, axis=1)
    shape = (*spectrum.shape[:2], 1)
    phases = np.exp(2j * np.pi * np.random.default_rng(0).random(shape))
    phases[:, 0] = 1
    noise = np.fft.irfft(spectrum * phases, n=windows.shape[0], axis=1)
    return replace(windows, codes=np.rint(noise).clip(-128, 127).astype(np.int8))


def shifted(windows, by=7):
    """Return the windows with the second lead `by` samples late."""
    codes = windows.codes.copy()
    codes[:, :, 1] = np.roll(codes[:, :, 1], by, axis=1)
    return replace(windows, codes=codes)


def untrained(detector, params, windows, seed=0):
    """Return a network as it is before any training, and how it would be scored."""
    keras.utils.set_random_seed(seed)
    model = build_detector(detector, params, windows.shape)
    return model, detector.fit(params, model, windows, lambda *stage: None)


def scores_of(model, scoring, windows):
    """Return the float score of every window."""
    outputs = outputs_of(model, windows).astype(np.float64)
    return SCORE_RULES[scoring.rule].score_float(outputs, scoring.constants)


def auroc(network, normal, strange):
    """Return how often `network`, a model and its scoring, gives a strange window more."""
    low, high = (scores_of(*network, windows) for windows in (normal, strange))
    above = np.mean(high[:, np.newaxis] > low) + np.mean(high[:, np.newaxis] == low) / 2
    return float(above)
