"""What needs no trained network, or only the diagnostic one: the scores every table must beat.

All of them are higher = more anomalous. Those of the signal are fitted on the same in-distribution
windows as the detectors; those of the classifier's confidence read its logits.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft, special

from datasets import WindowBatch
from datasets.records import FloatArray

FIT_MAX = 4000  # windows the principal components are taken from
COMPONENTS = 64
BANDS_HZ = (*np.arange(0.5, 10, 0.5), *np.arange(10, 30, 1.0), *np.arange(30, 51, 2.5))
"""Edges of the bands of the spectrum; waves below 10 Hz are told apart finely."""
QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.75, 0.95, 0.99, 0.999)
LAGS_S = np.arange(0.1, 2.0, 0.05)
POWER_MIN = 1e-8  # mV^2: below the rounding of one code, so that a flat lead has a logarithm
SCORED_AT_ONCE = 512

Features = Callable[[FloatArray, float], FloatArray]
"""(windows (n, window_len, n_leads) in mV, fs) -> features (n, n_features)."""
Baseline = Callable[[WindowBatch], FloatArray]
"""Windows -> scores (n_windows,)."""


def fit_baselines(train: WindowBatch, seed: int = 0) -> dict[str, Baseline]:
    """Return the baselines that read the signal, by name.

    amplitude        largest absolute value of any lead, mV
    signal_quality   Mahalanobis distance of kurtosis, baseline and QRS power ratios and flatness
    pca              what principal components of whole windows leave over, mV^2
    spectrum         Mahalanobis distance of the leads' log spectra
    hand_features    the same of log spectra, quantiles, autocorrelation and lead correlations

    Parameters
    ----------
    train : in-distribution windows of the training split; at least two.
    seed : of the choice of windows the principal components are taken from.
    """
    return {
        "amplitude": lambda batch: np.abs(batch.x_mv).max(axis=(1, 2)).astype(np.float64),
        "signal_quality": _mahalanobis(train, quality_indices),
        "pca": _principal_components(train, seed),
        "spectrum": _mahalanobis(train, log_spectrum),
        "hand_features": _mahalanobis(train, hand_features),
    }


def confidence_scores(logits: FloatArray, classes: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return the baselines that read the diagnostic classifier's logits, by name.

    softmax    one minus the largest probability of any class
    energy     joint energy of a multi-label classifier, minus the sum of log(1 + exp(logit)):
               Wang et al., Can multi-label classification networks know what they don't know?,
               NeurIPS 2021
    not_norm   one minus the probability of NORM, where NORM is a class: it rejects the sick first

    Parameters
    ----------
    logits : (n_windows, n_classes); classes : their names, in order.
    """
    probabilities = special.expit(logits)
    scores = {
        "softmax": 1 - probabilities.max(axis=1),
        "energy": -np.logaddexp(0, logits).sum(axis=1),
    }
    if "NORM" in classes:
        scores["not_norm"] = 1 - probabilities[:, classes.index("NORM")]
    return scores


def quality_indices(x_mv: FloatArray, fs: float) -> FloatArray:
    """Return classical signal-quality indices, averaged over leads, and the worst lead's.

    Kurtosis (kSQI), the share of power below 1 Hz (basSQI), of the 5-15 Hz band within 5-40 Hz
    (pSQI), both as in Li, Mark and Clifford, Physiol. Meas. 29, 2008, and the share of samples
    that equal the one before.
    """
    hz, power = _power(x_mv, fs)

    def between(low: float, high: float) -> FloatArray:
        band = (hz >= low) & (hz < high)
        return np.asarray(power[:, band].sum(axis=1) + POWER_MIN)

    deviation = x_mv - x_mv.mean(axis=1, keepdims=True)
    variance = (deviation**2).mean(axis=1)
    kurtosis = (deviation**4).mean(axis=1) / (variance**2 + POWER_MIN**2)
    indices = np.stack(
        [
            np.log(kurtosis + 1),
            np.log(between(0, 1) / between(0, 40)),
            between(5, 15) / between(5, 40),
            (np.diff(x_mv, axis=1) == 0).mean(axis=1),
        ],
        axis=-1,
    )
    return np.concatenate([indices.mean(axis=1), indices.min(axis=1), indices.max(axis=1)], axis=1)


def log_spectrum(x_mv: FloatArray, fs: float) -> FloatArray:
    """Return the log power of every lead in `BANDS_HZ`, those below half the rate."""
    hz, power = _power(x_mv, fs)
    edges = np.array([edge for edge in BANDS_HZ if edge <= fs / 2])
    band = np.digitize(hz, edges) - 1
    bands = [power[:, band == i].mean(axis=1) for i in range(len(edges) - 1) if (band == i).any()]
    return np.log(np.concatenate(bands, axis=1) + POWER_MIN)


def hand_features(x_mv: FloatArray, fs: float) -> FloatArray:
    """Return log spectra, amplitude quantiles, autocorrelation and correlations of the leads."""
    n, window_len, n_leads = x_mv.shape
    quantiles = np.quantile(x_mv, QUANTILES, axis=1)
    centred = x_mv - x_mv.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + POWER_MIN)
    correlations = np.einsum("nti,ntj->nij", scaled, scaled) / window_len
    pairs = np.triu_indices(n_leads, 1)
    # Zero-padded to twice the length, the circular correlation is the linear one.
    spectrum = fft.rfft(scaled, 2 * window_len, axis=1)
    autocorrelation = fft.irfft((np.abs(spectrum) ** 2).mean(axis=2), axis=1) / window_len
    lags = np.rint(LAGS_S * fs).astype(int)
    return np.concatenate(
        [
            log_spectrum(x_mv, fs),
            np.moveaxis(quantiles, 0, -1).reshape(n, -1),
            autocorrelation[:, lags[lags < window_len]],
            correlations[:, *pairs],
        ],
        axis=1,
    )


def _power(x_mv: FloatArray, fs: float) -> tuple[FloatArray, FloatArray]:
    """Return frequencies in Hz and the power spectrum (n, n_frequencies, n_leads) in mV^2."""
    window = np.hanning(x_mv.shape[1])[:, np.newaxis]
    spectrum = fft.rfft((x_mv - x_mv.mean(axis=1, keepdims=True)) * window, axis=1)
    power = np.abs(spectrum) ** 2 / (window**2).sum() / x_mv.shape[1]
    return fft.rfftfreq(x_mv.shape[1], 1 / fs), power


def _features_of(batch: WindowBatch, features: Features) -> FloatArray:
    """Return the features of a batch, a part of it in memory as floats at a time."""
    return np.concatenate(
        [
            features(batch.x[start : start + SCORED_AT_ONCE] * np.float64(batch.lsb_mv), batch.fs)
            for start in range(0, len(batch), SCORED_AT_ONCE)
        ]
    )


def _mahalanobis(train: WindowBatch, features: Features) -> Baseline:
    """Return the squared Mahalanobis distance under a covariance shrunk after Ledoit and Wolf."""
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    fitted = _features_of(train, features)
    scaler = StandardScaler().fit(fitted)
    gaussian = LedoitWolf().fit(scaler.transform(fitted))

    def score(batch: WindowBatch) -> FloatArray:
        scaled = scaler.transform(_features_of(batch, features))
        return np.asarray(gaussian.mahalanobis(scaled), np.float64)

    return score


def _principal_components(train: WindowBatch, seed: int) -> Baseline:
    """Return the mean squared error of windows rebuilt from their principal components."""
    from sklearn.decomposition import PCA

    chosen = np.random.default_rng(seed).permutation(len(train))[:FIT_MAX]
    fitted = train.x[np.sort(chosen)].reshape(len(chosen), -1) * np.float32(train.lsb_mv)
    n_components = min(COMPONENTS, *fitted.shape)
    pca = PCA(n_components, svd_solver="randomized", random_state=seed).fit(fitted)

    def rest(x_mv: FloatArray, fs: float) -> FloatArray:
        flat = x_mv.reshape(len(x_mv), -1)
        rebuilt = pca.inverse_transform(pca.transform(flat))
        return np.asarray(((flat - rebuilt) ** 2).mean(axis=1, keepdims=True), np.float64)

    return lambda batch: _features_of(batch, rest)[:, 0]
