"""The only call of the converter: a Keras model in, a full-int8 .tflite out - checked or refused.

TensorFlow is loaded here and nowhere else in `export`.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.records import Int8Array

from .graph import Graph, read_graph
from .quiet import quiet

PARAMETERS_MAX = 512_000  # the customer's cap, on all gates together
N_NOISE_WINDOWS = 10
SCALE_TOLERANCE = 1e-5  # relative; the converter computes in float32

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A full-int8 network and what it was checked against.

    Parameters
    ----------
    tflite : the file's bytes; sha256 : their hash in hex.
    graph : the same network, as the firmware will run it.
    float_outputs : float32 (n_windows, n_outputs), the Keras model on the windows held back.
    """

    tflite: bytes
    sha256: str
    graph: Graph
    float_outputs: Float32Array


def quantize(
    model_path: Path, windows: Int8Array, lsb_mv: float, held_back: Int8Array
) -> QuantizedModel:
    """Convert a Keras model to int8 whose input codes are the signal chain's codes.

    Parameters
    ----------
    model_path : `.keras` file; input (batch, window_len, n_leads) in mV.
    windows : int8 codes (n_windows, window_len, n_leads) of training records: the range of every
        activation is taken from them.
    lsb_mv : mV per code.
    held_back : windows that set no range, for `float_outputs`.

    Raises
    ------
    ValueError : the file is not a Keras model of that input, it has more parameters than allowed,
        or the result has an operator, type or input scale the firmware cannot run.
    """
    model = _load(model_path)
    if model.input_shape[1:] != windows.shape[1:]:
        raise ValueError(
            f"{model_path} must take windows {windows.shape[1:]}, takes {model.input_shape[1:]}"
        )
    if model.count_params() > PARAMETERS_MAX:
        raise ValueError(
            f"{model_path} must have at most {PARAMETERS_MAX:,} parameters, "
            f"has {model.count_params():,}"
        )
    in_mv = np.float32(lsb_mv)
    ranges = np.concatenate([windows * in_mv, _full_range(windows, lsb_mv)])
    data = _convert(model, ranges)
    graph = _graph(model_path, data)
    window = graph.tensors[graph.input]
    if window.zero_point != 0 or abs(window.scale / lsb_mv - 1) > SCALE_TOLERANCE:
        raise ValueError(
            f"{model_path} must read the signal chain's codes (scale {lsb_mv}, zero point 0), "
            f"got scale {window.scale}, zero point {window.zero_point}"
        )
    outputs = np.asarray(model.predict(held_back * in_mv, verbose=0), np.float32)
    return QuantizedModel(data, hashlib.sha256(data).hexdigest(), graph, outputs)


def untrained_graph(model_path: Path, lsb_mv: float) -> Graph:
    """Return a Keras model as the firmware would run it, with ranges taken from noise.

    For what its shapes decide, such as its cost: it says nothing of what the network is worth.

    Raises
    ------
    ValueError : the file is not a Keras model, or one the firmware cannot run.
    """
    model = _load(model_path)
    shape = (N_NOISE_WINDOWS, *model.input_shape[1:])
    noise = np.random.default_rng(0).integers(-128, 128, shape).astype(np.float32)
    return _graph(model_path, _convert(model, noise * np.float32(lsb_mv)))


def _graph(model_path: Path, data: bytes) -> Graph:
    try:
        return read_graph(data)
    except ValueError as error:
        raise ValueError(f"{model_path} must fit the firmware: {error}") from error


def _load(path: Path) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet():
        import keras
        import tensorflow  # noqa: F401  # its start-up messages go the same way

    if not path.exists():
        raise FileNotFoundError(f"{path} must exist, it does not: train the network first")
    keras.utils.clear_session()  # restarts Keras's name counters, which end up in the .tflite
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} must be a Keras model: {error}") from error


def _full_range(windows: Int8Array, lsb_mv: float) -> Float32Array:
    """Return the window of largest amplitude stretched to the rails, float32 (1, ...), in mV.

    With it the converter's input scale is exactly one code, and activations get head-room for
    amplitudes that the training records do not reach but the sensor can.
    """
    spans = np.ptp(windows.astype(np.int16), axis=(1, 2))
    widest = windows[int(np.argmax(spans))].astype(np.float32)
    low, high = float(widest.min()), float(widest.max())
    if low == high:
        raise ValueError("calibration windows must hold a signal, all of them are constant")
    stretched = (widest - low) / (high - low) * 255 - 128
    return np.asarray(np.rint(stretched) * lsb_mv, np.float32)[np.newaxis]


def _convert(model: Any, x: Float32Array) -> bytes:
    import keras
    import tensorflow as tf

    fixed = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: ([window[np.newaxis]] for window in x)
    with quiet():
        return bytes(converter.convert())
