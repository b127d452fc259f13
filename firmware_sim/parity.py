"""The proof that the board decides as Python does: the same bits from every engine.

TFLite Micro's own kernels with everything else redone in Python (`tflm`) are the reference; the
shipped C on this machine (`host`) and on an emulated board (`qemu`) must equal it on every window:
window start, score, verdict, reason, label, margin.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from datasets import Dataset
from datasets.progress import progress
from datasets.records import Int8Array, Int16Array
from export.blob import flip_weight_bit
from export.bundle import Bundle
from export.graph import read_graph
from export.pipeline import Decision
from export.signal_chain import check_front_end

from .engines import Engine, EngineOpener

REFERENCE = "tflm"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first window on which an engine left the reference.

    Parameters
    ----------
    engine : the one that differs; window : record and first sample.
    layer : first layer whose output differs, or what behind the networks does.
    expected, found : the decisions; found is None where the engine made none.
    """

    engine: str
    window: str
    layer: str
    expected: Decision
    found: Decision | None


@dataclass(frozen=True, slots=True)
class Parity:
    """How many windows were compared, and how many were equal on each engine.

    `differences` has the first one of each engine that differs; none of them = parity.
    """

    n_windows: int
    n_rejected: int
    n_equal: dict[str, int]
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        return asdict(self)


def damage(bundle: Bundle, layer: int) -> Bundle:
    """Return `bundle` with one weight bit flipped in the filter's blob, its CRC-32 made to match.

    Only the firmware's copy: the reference keeps the .tflite. Parity has to find it.
    """
    return replace(bundle, filter_blob=flip_weight_bit(bundle.filter_blob, layer))


def check_parity(
    bundle: Bundle,
    recordings: Iterator[tuple[str, Int16Array]],
    engines: dict[str, EngineOpener],
    n_windows: int,
) -> Parity:
    """Compare every engine with the reference on the first `n_windows` windows of `recordings`.

    Parameters
    ----------
    bundle : what to run.
    recordings : (name, int16 counts (n_samples, n_leads)); each is played from a reset.
    engines : at least the reference `tflm` and another one.
    n_windows : how many windows to compare at most.

    Raises
    ------
    ValueError : the engines are too few, or the recordings hold no window.
    """
    if REFERENCE not in engines or len(engines) < 2:
        raise ValueError(
            f"parity needs the reference {REFERENCE} and another engine, got {', '.join(engines)}"
        )
    others = [name for name in engines if name != REFERENCE]
    n_equal = dict.fromkeys(others, 0)
    differences: dict[str, Difference] = {}
    n_compared = n_rejected = 0
    with ExitStack() as stack, progress("Comparing windows", n_windows) as advance:
        opened = {name: stack.enter_context(open_(bundle)) for name, open_ in engines.items()}
        for name, counts in recordings:
            made = {key: _play(engine, counts) for key, engine in opened.items()}
            expected = made[REFERENCE][: n_windows - n_compared]
            for other in others:
                found = made[other]
                equal = [e == f for e, f in zip(expected, found, strict=False)]
                n_equal[other] += sum(equal)
                if other not in differences and sum(equal) < len(expected):
                    first = equal.index(False) if False in equal else len(equal)
                    differences[other] = _explain(
                        bundle, opened, other, name, counts, expected[first], found[first:]
                    )
            n_compared += len(expected)
            n_rejected += sum(not decision.accepted for decision in expected)
            advance(len(expected))
            if n_compared == n_windows:
                break
    if n_compared == 0:
        raise ValueError(f"parity needs recordings of at least {bundle.data.window_len} samples")
    return Parity(n_compared, n_rejected, n_equal, tuple(differences.values()))


def _play(engine: Engine, counts: Int16Array) -> list[Decision]:
    engine.reset()
    return engine.push(counts)


def _explain(
    bundle: Bundle,
    opened: dict[str, Engine],
    other: str,
    name: str,
    counts: Int16Array,
    expected: Decision,
    found: list[Decision],
) -> Difference:
    """Find the first layer whose output differs on the window."""
    start = expected.window_start
    window = bundle.chain.apply(counts)[start : start + bundle.data.window_len]
    layer = _first_layer(bundle, opened[REFERENCE], opened[other], window)
    return Difference(
        engine=other,
        window=f"{name} from sample {start}",
        layer=layer or "none: signal chain, score or gate differ",
        expected=expected,
        found=found[0] if found else None,
    )


def _first_layer(bundle: Bundle, a: Engine, b: Engine, window: Int8Array) -> str | None:
    for network, data in (
        ("filter", bundle.filter_tflite),
        ("classifier", bundle.classifier_tflite),
    ):
        unequal = np.flatnonzero(a.trace(network, window) != b.trace(network, window))
        if unequal.size:
            return f"{network} layer {read_graph(data).layer_name(int(unequal[0]))}"
    return None


def golden_recordings(bundle: Bundle) -> Iterator[tuple[str, Int16Array]]:
    """Return the bundle's golden windows as recordings."""
    for index, counts in enumerate(bundle.golden.adc_counts):
        yield f"golden {index}", counts


def dataset_recordings(
    bundle: Bundle, dataset: Dataset, record_ids: Sequence[str]
) -> Iterator[tuple[str, Int16Array]]:
    """Return recordings of a data set, checked to be what the bundle's signal chain expects."""
    for record_id in record_ids:
        record = dataset.load(record_id, bundle.data.leads)
        check_front_end(record, bundle.chain)
        yield f"record {record.record_id}", record.adc_counts
