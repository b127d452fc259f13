"""The model blob `*.bgm`: one network as data that the firmware runs in place.

docs/blob-format.md describes every byte.
"""

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .arena import fit_scratch, plan_arena
from .graph import Graph, Op
from .layers import Layer, pack_pairs
from .native import Role, aligned_blob, native
from .operators import INPUTS_MAX
from .score_rules import SCORE_RULES
from .signal_chain import SETTINGS_DTYPE, SignalChain
from .streaming import StreamPlan

MAGIC = 0x314D4742  # "BGM1"
VERSION = 3
ALIGN = 16
CONSTANT = 1 << 31
"""Flag of a tensor whose offset counts from the start of the blob."""
CRC_START = 16
WEIGHTED = frozenset({Op.CONV, Op.DEPTHWISE_CONV, Op.FULLY_CONNECTED})
REJECT_NOTHING = 2**63 - 1
"""Threshold of a gate that has not been calibrated yet."""

HEADER_DTYPE = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u2"),
        ("role", "<u2"),
        ("length", "<u4"),
        ("crc32", "<u4"),
        ("source_sha256", "u1", 32),
        ("threshold", "<i8"),
        ("chain", SETTINGS_DTYPE),
        ("window_len", "<u4"),
        ("hop_len", "<u4"),
        ("activation_bytes", "<u4"),
        ("tensors", "<u4"),
        ("layers", "<u4"),
        ("n_tensors", "<u2"),
        ("n_layers", "<u2"),
        ("input", "<u2"),
        ("output", "<u2"),
        ("score_rule", "<u4"),
        ("score_constants", "<u4"),
        ("taps", "<u4"),
        ("stream", "<u4"),
        ("stream_bytes", "<u4"),
        ("stream_step", "<u4"),
    ]
)
STREAM_DTYPE = np.dtype(
    [
        ("columns", "<u2"),
        ("carry", "<u2"),
        ("delay", "<u4"),
        ("offset", "<u4"),
        ("scratch", "<u4"),
        ("last_reader", "<u2"),
        ("block", "<u2"),
        ("pool", "<u4"),
        ("period", "<u2"),
        ("tile", "<u2"),
    ]
)
TENSOR_DTYPE = np.dtype(
    [
        ("offset", "<u4"),
        ("width", "<u2"),
        ("channels", "<u2"),
        ("zero_point", "<i4"),
        ("scale", "<f4"),
    ]
)
LAYER_DTYPE = np.dtype(
    [
        ("op", "u1"),
        ("n_inputs", "u1"),
        ("inputs", "u1", INPUTS_MAX),
        ("output", "u1"),
        ("tile", "u1"),
        ("kernel", "<u2"),
        ("stride", "<u2"),
        ("dilation", "<u2"),
        ("pad_left", "<u2"),
        ("act_min", "i1"),
        ("act_max", "i1"),
        ("reserved", "<u2"),
        ("scratch", "<u4"),
        ("weights", "<u4"),
        ("bias", "<u4"),
        ("multipliers", "<u4"),
        ("shifts", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Score:
    """What turns a gate's output into a verdict: rule number, its constants, the threshold."""

    rule: int
    constants: npt.NDArray[np.int32]
    threshold: int = REJECT_NOTHING


@dataclass(frozen=True, slots=True)
class BlobHeader:
    """What a blob says of itself.

    `operators` has each layer's, `weights` the offset of its weights, 0 where it has none; `chain`
    the bytes of the C structure and of its taps; `samples_per_hop` counts whole frames of the
    sensor; `score_constants` the int32 values, none for a classifier. `stream_bytes` and
    `stream_step` are 0 where the network runs on whole windows.
    """

    source_sha256: str
    threshold: int
    window_len: int
    hop_len: int
    samples_per_hop: int
    n_leads: int
    activation_bytes: int
    stream_bytes: int
    stream_step: int
    n_layers: int
    n_outputs: int
    operators: tuple[Op, ...]
    weights: tuple[int, ...]
    chain: bytes
    score_constants: tuple[int, ...]


class _Writer:
    """Appends arrays behind the header, each at an aligned offset."""

    def __init__(self, start: bytes = bytes(-(-HEADER_DTYPE.itemsize // ALIGN) * ALIGN)) -> None:
        self.data = bytearray(start)
        self._offsets: dict[bytes, int] = {}

    def add(self, array: npt.NDArray[np.generic]) -> int:
        """Append `array` and return its offset; nothing is appended for an empty one."""
        if array.size == 0:
            return 0
        offset = self.reserve(array.nbytes)
        self.fill(offset, array.tobytes())
        return offset

    def add_once(self, array: npt.NDArray[np.int8]) -> int:
        """Return the offset of `array`, appended unless there is its equal.

        For the weights of convolutions and dense layers, and for constants: a network that applies
        some of them several times has them several times in its .tflite. Other arrays, which may be
        equal by chance, are not for this, or a blob's size would not follow from its network's
        form.
        """
        content = array.tobytes()
        if content not in self._offsets:
            self._offsets[content] = self.add(array)
        return self._offsets[content]

    def reserve(self, n_bytes: int) -> int:
        """Append zeros, to be filled later, and return their offset."""
        offset = len(self.data)
        self.data += bytes(-(-n_bytes // ALIGN) * ALIGN)
        return offset

    def fill(self, offset: int, content: bytes) -> None:
        """Write `content` over what lies at `offset`."""
        self.data[offset : offset + len(content)] = content


def write_blob(
    graph: Graph,
    chain: SignalChain,
    hop_len: int,
    source: bytes,
    score: Score | None,
    stream: StreamPlan | None = None,
) -> bytes:
    """Return the blob of one network.

    Parameters
    ----------
    graph : the network; its input tensor is one window (window_len, n_leads).
    chain : signal chain it was trained behind.
    hop_len : samples between decisions.
    source : the .tflite it was read from; its SHA-256 goes into the header.
    score : of a gate; None makes the blob a classifier.
    stream : how it runs along the stream; None = on whole windows.

    Raises
    ------
    FirmwareError : the firmware would refuse the result.
    """
    writer = _Writer()
    graph = fit_scratch(graph)
    plan = plan_arena(graph)
    tensors = np.array(
        [
            (
                offset if t.data is None else CONSTANT | writer.add_once(t.data),
                t.width,
                t.channels,
                t.zero_point,
                t.scale,
            )
            for offset, t in zip(plan.offsets, graph.tensors, strict=True)
        ],
        TENSOR_DTYPE,
    )
    window = graph.tensors[graph.input]
    header = np.zeros((), HEADER_DTYPE)
    header["magic"], header["version"] = MAGIC, VERSION
    header["role"] = Role.CLASSIFIER if score is None else Role.GATE
    header["source_sha256"] = np.frombuffer(hashlib.sha256(source).digest(), np.uint8)
    header["chain"]["n_leads"] = window.channels
    header["window_len"], header["hop_len"] = window.width, hop_len
    header["activation_bytes"] = plan.n_bytes
    header["tensors"] = writer.add(tensors)
    header["layers"] = _add_layers(writer, graph, plan.scratch)
    header["n_tensors"], header["n_layers"] = len(graph.tensors), len(graph.layers)
    header["input"], header["output"] = graph.input, graph.output
    if stream is not None:
        header["stream"] = writer.add(_stream_rows(stream))
        header["stream_bytes"], header["stream_step"] = stream.n_bytes, stream.step
    if score is not None:
        header["threshold"] = score.threshold
        header["score_rule"] = score.rule
        header["score_constants"] = writer.add(score.constants.astype("<i4"))
    writer.fill(0, header.tobytes())
    return with_chain(bytes(writer.data), chain)


def _stream_rows(plan: StreamPlan) -> np.ndarray:
    rows = np.zeros(len(plan.tensors), STREAM_DTYPE)
    for name in STREAM_DTYPE.names or ():
        rows[name] = [getattr(tensor, name) for tensor in plan.tensors]
    return rows


def _add_layers(writer: _Writer, graph: Graph, scratch: tuple[int, ...]) -> int:
    rows = np.zeros(len(graph.layers), LAYER_DTYPE)
    offset = writer.reserve(rows.nbytes)
    for row, layer, scratch_offset in zip(rows, graph.layers, scratch, strict=True):
        row["op"], row["output"] = layer.op, layer.output
        row["n_inputs"] = len(layer.inputs)
        row["inputs"][: len(layer.inputs)] = layer.inputs
        for name in ("tile", "kernel", "stride", "dilation", "pad_left", "act_min", "act_max"):
            row[name] = getattr(layer, name)
        row["scratch"] = scratch_offset
        add = writer.add_once if layer.op in WEIGHTED else writer.add
        row["weights"] = add(_packed_weights(layer))
        row["bias"] = writer.add(np.pad(layer.bias, (0, layer.bias.size % 2)).astype("<i4"))
        row["multipliers"] = writer.add(layer.multipliers.astype("<i4"))
        row["shifts"] = writer.add(layer.shifts)
    writer.fill(offset, rows.tobytes())
    return offset


def _packed_weights(layer: Layer) -> npt.NDArray[np.int8]:
    if layer.op in (Op.CONV, Op.FULLY_CONNECTED):
        return pack_pairs(layer.weights.reshape(len(layer.weights), -1))
    return layer.weights


def seal(blob: bytes) -> bytes:
    """Return `blob` with the length and CRC-32 that its bytes call for."""
    data = bytearray(blob)
    header = np.frombuffer(data, HEADER_DTYPE, 1)
    header["length"] = len(data)
    header["crc32"] = zlib.crc32(data[CRC_START:])
    return bytes(data)


def with_chain(blob: bytes, chain: SignalChain) -> bytes:
    """Return `blob` behind another signal chain; its taps are the last thing in a blob.

    Raises
    ------
    FirmwareError : the firmware would refuse the result.
    """
    header = np.frombuffer(blob, HEADER_DTYPE, 1)[0].copy()
    writer = _Writer(blob[: header["taps"] or len(blob)])
    header["chain"] = chain.settings(int(header["chain"]["n_leads"]))
    header["taps"] = 0 if chain.taps is None else writer.add(chain.taps.astype("<i2"))
    writer.fill(0, header.tobytes())
    changed = seal(bytes(writer.data))
    native().check_blob(aligned_blob(changed), Role(int(header["role"])), "the model blob")
    return changed


def with_threshold(blob: bytes, threshold: int) -> bytes:
    """Return a gate's blob with another threshold."""
    data = bytearray(blob)
    np.frombuffer(data, HEADER_DTYPE, 1)["threshold"] = threshold
    return seal(bytes(data))


def read_header(blob: bytes) -> BlobHeader:
    """Return what a checked blob says of itself.

    Call it on blobs that `bg_blob_check` accepted: offsets are believed.
    """
    header = np.frombuffer(blob, HEADER_DTYPE, 1)[0]
    tensors = np.frombuffer(blob, TENSOR_DTYPE, header["n_tensors"], header["tensors"])
    layers = np.frombuffer(blob, LAYER_DTYPE, header["n_layers"], header["layers"])
    output, chain = tensors[header["output"]], header["chain"]
    n_taps = int(chain["up"]) * int(chain["taps_per_phase"])
    taps = np.frombuffer(blob, "<i2", n_taps, header["taps"])
    n_outputs = int(output["width"]) * int(output["channels"])
    return BlobHeader(
        source_sha256=header["source_sha256"].tobytes().hex(),
        threshold=int(header["threshold"]),
        window_len=int(header["window_len"]),
        hop_len=int(header["hop_len"]),
        samples_per_hop=int(header["hop_len"]) * int(chain["down"]) // int(chain["up"]),
        n_leads=int(chain["n_leads"]),
        activation_bytes=int(header["activation_bytes"]),
        stream_bytes=int(header["stream_bytes"]),
        stream_step=int(header["stream_step"]),
        n_layers=len(layers),
        n_outputs=n_outputs,
        operators=tuple(Op(int(layer["op"])) for layer in layers),
        weights=tuple(int(layer["weights"]) for layer in layers),
        chain=chain.tobytes() + taps.tobytes(),
        score_constants=_score_constants(blob, header, n_outputs),
    )


def _score_constants(blob: bytes, header: np.void, n_outputs: int) -> tuple[int, ...]:
    rules = [rule for rule in SCORE_RULES.values() if rule.code == header["score_rule"]]
    if not rules:
        return ()
    start = int(header["score_constants"])
    words = np.frombuffer(blob, "<i4", (len(blob) - start) // 4, start)
    return tuple(words[: rules[0].n_constants(words, n_outputs)].tolist())


def flip_weight_bit(blob: bytes, layer: int, bit: int = 0) -> bytes:
    """Return `blob`, sealed anew, with one bit of one weight of `layer` flipped.

    The flip is in every layer that shares the weight: equal weights are stored once. A check that
    cannot fail proves nothing: parity is shown to catch this.
    """
    offsets = read_header(blob).weights
    if not 0 <= layer < len(offsets):
        raise ValueError(f"layer must be in [0, {len(offsets)}), got {layer}")
    first = offsets[layer]
    if first == 0:
        raise ValueError(f"layer must have weights to flip a bit of, layer {layer} has none")
    data = bytearray(blob)
    data[first] ^= 1 << bit
    return seal(bytes(data))
