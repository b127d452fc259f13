"""The filter that takes a sensor's rate to the model's: designed once, quantised to int16."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from scipy import signal

from datasets.records import FloatArray, Int16Array

RATIO_MAX = 256  # BG_CHAIN_RATIO_MAX
TAPS_MAX = 512  # BG_CHAIN_TAPS_MAX
TAP_MAX = 32767

HALF_LENGTH = 10
"""Of the impulse response, in samples at the lower of the two rates; the delay of the filter."""
ATTENUATION_DB = 65.0
"""What a Kaiser window of that length reaches over a transition of a fifth of the lower rate."""
PASS_BAND, STOP_BAND = 0.4, 0.6
"""Edges as a part of the lower rate: at 100 Hz, 0 to 40 Hz pass and nothing above 60 Hz does."""


@dataclass(frozen=True, slots=True)
class Resampler:
    """A polyphase FIR filter from a rate f to f * up / down.

    Parameters
    ----------
    up, down : the ratio, coprime.
    taps : int16 (up, taps_per_phase), the newest sample's first; phase p, tap k of the impulse
        response at index p + k * up. Each phase sums to 2^shift exactly, so that a constant stays
        that constant whatever the phase.
    shift : the finest scale at which every tap fits int16.
    """

    up: int
    down: int
    taps: Int16Array
    shift: int

    @property
    def delay(self) -> Fraction:
        """Delay in samples of the input, the same for every frequency: the filter is symmetric."""
        return Fraction(HALF_LENGTH * max(self.up, self.down), self.up)


@cache
def design_resampler(up: int, down: int) -> Resampler:
    """Return the filter for a ratio: a Kaiser-windowed sinc, cut off at half the lower rate.

    Raises
    ------
    ValueError : the ratio has terms too large, or needs too many taps.
    """
    if max(up, down) > RATIO_MAX:
        raise ValueError(f"up and down must be at most {RATIO_MAX}, got {up} / {down}")
    phases = impulse_response(up, down).reshape(-1, up).T
    if phases.shape[1] > TAPS_MAX:
        raise ValueError(
            f"a resampler must have at most {TAPS_MAX} taps a phase, {up} / {down} needs "
            f"{phases.shape[1]}"
        )
    shift = int(np.floor(np.log2(TAP_MAX / phases.max())))
    taps = np.stack([_rounded_to_sum(phase * 2**shift) for phase in phases])
    return Resampler(up, down, taps.astype(np.int16), shift)


def impulse_response(up: int, down: int) -> FloatArray:
    """Return the filter before quantisation, at `up` times the input's rate, for `upfirdn`.

    float (up * taps_per_phase,), zeros at the end. Every phase sums to 1: without that last touch
    they would differ by the stop-band's ripple, and an electrode's offset would show as hum.
    """
    longer = max(up, down)
    window = ("kaiser", signal.kaiser_beta(ATTENUATION_DB))
    taps = signal.firwin(2 * HALF_LENGTH * longer + 1, 1 / longer, window=window)
    phases = np.pad(taps, (0, -len(taps) % up)).reshape(-1, up)
    response: FloatArray = (phases / phases.sum(axis=0)).ravel()
    return response


def _rounded_to_sum(values: FloatArray) -> FloatArray:
    """Round `values`, whose sum is whole, so that the sum stays: largest remainders go up."""
    low = np.floor(values)
    n_up = round(values.sum() - low.sum())
    low[np.argsort(low - values, kind="stable")[:n_up]] += 1
    return low
