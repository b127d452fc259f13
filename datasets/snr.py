"""Signal-to-noise ratio of an ECG, as the WFDB tools `nst` and `sigamp` define it.

    SNR = 10 log10(S / N) dB,   S = A^2 / 8,   N = n^2

A is the peak-to-peak QRS amplitude of a lead: in a window from 50 ms before to 50 ms after each of
the first 300 normal beats, the largest sample minus the smallest; of these, the mean without the
largest and the smallest 5 %. A^2 / 8 is the power of a sinusoid as high. n is the RMS amplitude of
the noise: in each of its first 300 seconds, the root mean square about that second's own mean; of
these, the same trimmed mean. Wander slower than a second therefore hardly counts as power, and the
heart rate not at all. Each lead is measured by itself.

Three differences from the tools: `nst` measures n on the start of the noise record, we measure it
on the noise that is added, so that every recording has the SNR asked for; `sigamp` truncates
deviations to whole ADC counts, we do not; and where nobody annotated beats we detect them.

References
----------
`nst`(1), section "Signal-to-noise ratios", and `sigamp`(1): WFDB Applications Guide,
https://physionet.org/physiotools/wag/nst-1.htm, https://physionet.org/physiotools/wag/sigamp-1.htm;
beats that count as normal: `map1` of https://physionet.org/physiotools/wfdb/lib/ecgmap.h; Moody,
Muldrow, Mark, "A noise stress test for arrhythmia detectors", Computers in Cardiology 11, 381-384
(1984).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from .records import EcgRecord, FloatArray, Int64Array

HALF_WINDOW_S = 0.05
N_MEASUREMENTS_MAX = 300
TRIMMED_PART = 20  # the largest and the smallest 1/20 of the measurements are left out
NORMAL_SYMBOLS = tuple("NLRaJASj/QBenf")
WITHOUT_BEATS = ("error", "percentiles")
N_BEATS_MIN = 3
DETECTION_S_MIN = 2.0
PERCENTILES = (0.5, 99.5)  # at 50 to 100 beats a minute, QRS complexes are 8 to 17 % of the samples


@dataclass(frozen=True, slots=True)
class QrsSize:
    """How large the QRS complexes of a recording are.

    Parameters
    ----------
    counts : peak-to-peak amplitude A of every lead, in ADC counts, positive.
    source : what it was measured on: "annotated" or "detected" beats, or "percentiles".
    """

    counts: tuple[float, ...]
    source: str


def qrs_size(record: EcgRecord, without_beats: str = "error") -> QrsSize:
    """Return the QRS amplitude of every lead of `record`.

    On the annotated beats where there are any; else on those that NeuroKit2 detects (method
    "neurokit"; Makowski et al., Behavior Research Methods 53, 1689-1696, 2021), which cannot tell
    normal beats from others and takes all.

    Parameters
    ----------
    without_beats : what to do with fewer than 3 beats. "error": raise. "percentiles": take the
        distance from the 0.5th to the 99.5th percentile of each lead's samples.

    Raises
    ------
    ValueError : `without_beats` is unknown, a lead is flat, or there are fewer than 3 normal beats
        and that is an error.
    """
    if without_beats not in WITHOUT_BEATS:
        raise ValueError(
            f"without_beats must be one of {', '.join(WITHOUT_BEATS)}, got {without_beats}"
        )
    counts = record.adc_counts.astype(np.float64)
    if len(record.annotations.beats):
        beats = record.annotations.beats[np.isin(record.annotations.symbols, NORMAL_SYMBOLS)]
        source = "annotated"
    else:
        beats, source = _detect(counts, record.fs), "detected"
    windows = _whole_windows(beats, len(counts), record.fs)
    if len(windows) >= N_BEATS_MIN:
        sizes = trimmed_mean(np.ptp(counts[windows], axis=1))
    elif without_beats == "error" or not len(counts):
        raise ValueError(
            f"an SNR needs {N_BEATS_MIN} normal beats, {len(windows)} {source} in record "
            f"{record.record_id}"
        )
    else:
        low, high = np.percentile(counts, PERCENTILES, axis=0)
        sizes, source = high - low, "percentiles"
    if not sizes.all():
        raise ValueError(
            f"a lead must show an ECG to have an SNR, lead {record.leads[int(np.argmin(sizes))]} "
            f"of record {record.record_id} is flat"
        )
    return QrsSize(tuple(sizes.tolist()), source)


def noise_rms(noise: FloatArray, fs: float) -> FloatArray:
    """Return the RMS amplitude n of every lead, float64 (n_leads,), in the unit of `noise`.

    Parameters
    ----------
    noise : float array (n_samples, n_leads) of at least one second; `fs` in Hz.

    Raises
    ------
    ValueError : `noise` is shorter than a second.
    """
    second = max(1, round(fs))
    n_windows = min(len(noise) // second, N_MEASUREMENTS_MAX)
    if n_windows < 1:
        raise ValueError(
            f"noise must last a second ({second} samples) to have a power, got {len(noise)} samples"
        )
    windows = noise[: n_windows * second].reshape(n_windows, second, -1)
    return trimmed_mean(windows.std(axis=1))


def trimmed_mean(measurements: FloatArray) -> FloatArray:
    """Return the mean over the first axis without the largest and the smallest 5 %.

    Examples
    --------
    >>> float(trimmed_mean(np.array([*range(19), 1000])))
    9.5
    """
    cut = len(measurements) // TRIMMED_PART
    kept = np.sort(measurements, axis=0)[cut : len(measurements) - cut]
    return np.asarray(kept.mean(axis=0))


def noise_gain(qrs_counts: FloatArray, rms: FloatArray, snr_db: float) -> FloatArray:
    """Return the factor to each lead's noise that gives the SNR: a of SNR = 10 log10(S / (a^2 N)).

    Parameters
    ----------
    qrs_counts, rms : float arrays (n_leads,): A and n, in the same unit, positive.
    """
    return np.asarray(qrs_counts / np.sqrt(8.0) / rms * 10 ** (-snr_db / 20))


def _detect(counts: FloatArray, fs: float) -> Int64Array:
    """Return the R peaks, int64 (n_beats,), found in the lead that has the median number of them.

    In a lead of low amplitude a detector misses beats or takes T waves for them; most leads agree.
    In less than 2 s none is looked for: the detector averages the slope over 0.75 s.
    """
    if len(counts) < DETECTION_S_MIN * fs:
        return np.empty(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NeuroKit2 and what it imports, on odd signals
        import neurokit2

        found = []
        for lead in counts.T:
            cleaned = neurokit2.ecg_clean(lead, sampling_rate=fs, method="neurokit")
            peaks = neurokit2.ecg_findpeaks(cleaned, sampling_rate=fs, method="neurokit")
            found.append(np.asarray(peaks["ECG_R_Peaks"], np.int64))
    return sorted(found, key=len)[len(found) // 2]


def _whole_windows(beats: Int64Array, n_samples: int, fs: float) -> Int64Array:
    """Return the samples around the beats whose window lies inside, int64 (n_beats, window_len)."""
    half = round(HALF_WINDOW_S * fs)
    inside = beats[(beats >= half) & (beats + half < n_samples)][:N_MEASUREMENTS_MAX]
    return np.asarray(inside[:, np.newaxis] + np.arange(-half, half + 1))
