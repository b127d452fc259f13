"""The proof that the board decides as Python does: the same bits from every engine.

TFLite Micro's own kernels with everything else redone in Python (`tflm`) are the reference; the
shipped C on this machine (`host`) and on an emulated board (`qemu`) must equal it on every window:
window start, score, verdict, reason, label, margin.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from datasets.progress import progress
from datasets.records import Int8Array, Int16Array
from export import blob
from export.bundle import Bundle
from export.chain_windows import check_front_end
from export.device.image import OverBudget
from export.graph import read_graph
from export.pipeline import REASON_OK, REASON_UNFAMILIAR, Decision, make_decision

from .engines import Engine, EngineOpener
from .front_end import OpenRecord, Programme

REFERENCE = "tflm"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first window on which an engine left the reference.

    Parameters
    ----------
    engine : the one that differs; window : record and first sample.
    layer : first layer whose output differs, or what around the networks does.
    expected, found : the decisions; None where reference or engine made none.
    """

    engine: str
    window: str
    layer: str
    expected: Decision | None
    found: Decision | None

    def __str__(self) -> str:
        expected, found = (d.scores if d else "no decision" for d in (self.expected, self.found))
        return (
            f"{self.engine} differs from the reference first at {self.window}: {self.layer}; "
            f"score {found} instead of {expected}"
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """How many windows were compared, and how many were equal on each engine.

    `differences` has the first one of each engine that differs; none of them = parity. `refused`
    says of every board that is too small what it is short of.
    """

    n_windows: int
    n_rejected: int
    n_equal: dict[str, int]
    differences: tuple[Difference, ...]
    refused: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        return asdict(self)


def flip_weight_bit(bundle: Bundle, layer: int) -> Bundle:
    """Return `bundle` with one weight bit flipped in the filter's blob, its CRC-32 made to match.

    Only the firmware's copy: the reference keeps the .tflite. Parity has to find it.
    """
    return replace(bundle, filter_blob=blob.flip_weight_bit(bundle.filter_blob, layer))


def check_parity(
    bundle: Bundle,
    recordings: Iterator[tuple[str, Int16Array]],
    engines: dict[str, EngineOpener],
    n_windows: int,
    layers: bool = False,
    with_classifier: bool = True,
) -> Parity:
    """Compare every engine with the reference on the first `n_windows` windows of `recordings`.

    Parameters
    ----------
    bundle : what to run.
    recordings : (name, int16 counts (n_samples, n_leads)); each is played from a reset.
    engines : at least the reference `tflm` and another one.
    n_windows : how many windows to compare at most.
    layers : whether equal also means the same output of every layer of both networks, which shows
        what rounding and pooling hide from the score.
    with_classifier : False runs the filter alone, on every engine.

    Raises
    ------
    OverBudget : no engine but the reference is left, since the boards are too small.
    ValueError : the engines are too few, or the recordings hold no window.
    """
    if REFERENCE not in engines or len(engines) < 2:
        raise ValueError(
            f"parity needs the reference {REFERENCE} and another engine, got {', '.join(engines)}"
        )
    n_compared = n_rejected = 0
    with ExitStack() as stack, progress("Comparing windows", n_windows) as advance:
        networks = ("filter", "classifier") if with_classifier else ("filter",)
        opened, refused = _open_all(bundle, engines, with_classifier, stack)
        reference = opened.pop(REFERENCE)
        comparisons = {
            name: _Comparison(bundle, networks, reference, name, engine, layers)
            for name, engine in opened.items()
        }
        for name, counts in recordings:
            room = n_windows - n_compared
            expected = _play(reference, counts)[:room]
            for comparison in comparisons.values():
                comparison.compare(name, counts, expected, room)
            n_compared += len(expected)
            n_rejected += sum(not decision.accepted for decision in expected)
            advance(len(expected))
            if n_compared == n_windows:
                break
    if n_compared == 0:
        raise ValueError(f"parity needs recordings of at least {bundle.data.window_len} samples")
    return Parity(
        n_windows=n_compared,
        n_rejected=n_rejected,
        n_equal={name: comparison.n_equal for name, comparison in comparisons.items()},
        differences=tuple(c.first for c in comparisons.values() if c.first is not None),
        refused={name: str(error) for name, error in refused.items()},
    )


def _open_all(
    bundle: Bundle, engines: dict[str, EngineOpener], with_classifier: bool, stack: ExitStack
) -> tuple[dict[str, Engine], dict[str, OverBudget]]:
    """Open what fits its board; return the engines, and why others were refused."""
    opened: dict[str, Engine] = {}
    refused: dict[str, OverBudget] = {}
    for name, open_ in engines.items():
        try:
            opened[name] = stack.enter_context(open_(bundle, with_classifier=with_classifier))
        except OverBudget as error:
            refused[name] = error
    if refused and len(opened) < 2:
        raise next(iter(refused.values()))
    return opened, refused


def check_programme(
    programme: Programme,
    open_record: OpenRecord,
    engines: dict[str, EngineOpener],
    n_windows: int,
    with_classifier: bool = True,
) -> Parity:
    """Compare on `n_windows` windows of a programme's records, from as many of them as can be.

    Parameters
    ----------
    programme : the records, and the bundle to run each on; open_record : opens one of them.
    engines, with_classifier : as in `check_parity`.

    Raises
    ------
    ValueError : the engines are too few, or the records hold fewer windows.
    """
    available = {i: n for part in programme.parts for i, n in part.n_windows.items()}
    if sum(available.values()) < n_windows:
        raise ValueError(
            f"{n_windows} windows must be compared, the recordings have only "
            f"{sum(available.values())}"
        )
    shares = share_out(available, n_windows)
    results = []
    for part in programme.parts:
        n_by_record = {i: shares[i] for i in part.n_windows if shares[i]}
        if n_by_record:
            recordings = _beginnings(part.bundle, programme.leads, open_record, n_by_record)
            n = sum(n_by_record.values())
            results.append(
                check_parity(part.bundle, recordings, engines, n, with_classifier=with_classifier)
            )
    first = {d.engine: d for result in reversed(results) for d in result.differences}
    return Parity(
        n_windows=sum(result.n_windows for result in results),
        n_rejected=sum(result.n_rejected for result in results),
        n_equal={
            name: sum(result.n_equal[name] for result in results) for name in results[0].n_equal
        },
        differences=tuple(first.values()),
        refused=results[0].refused,
    )


def share_out(available: dict[str, int], n: int) -> dict[str, int]:
    """Return how much of each to take, `n` in all, as evenly as what is `available` allows.

    Examples
    --------
    >>> share_out({"a": 100, "b": 1, "c": 100}, 10)
    {'b': 1, 'a': 5, 'c': 4}
    """
    shares = {}
    for n_done, name in enumerate(sorted(available, key=lambda name: available[name])):
        shares[name] = min(available[name], -(-n // (len(available) - n_done)))
        n -= shares[name]
    return shares


class _Comparison:
    """One engine against the reference: how many windows were equal, and the first that was not."""

    def __init__(
        self,
        bundle: Bundle,
        networks: Sequence[str],
        reference: Engine,
        name: str,
        engine: Engine,
        layers: bool,
    ) -> None:
        self._bundle, self._networks = bundle, networks
        self._reference, self._name = reference, name
        self._engine, self._layers = engine, layers
        self.n_equal = 0
        self.first: Difference | None = None

    def compare(
        self, recording: str, counts: Int16Array, expected: list[Decision], room: int
    ) -> None:
        """Play a recording; `expected` is what the reference made of it, `room` at most."""
        found = _play(self._engine, counts)[:room]
        for reference, decision in zip_longest(expected, found):
            equal = reference == decision
            layer = None
            if self._layers or (not equal and self.first is None):
                start = (reference or decision).window_start
                codes = self._bundle.chain.apply(counts)
                window = codes[start : start + self._bundle.data.window_len]
                layer = first_unequal_layer(
                    self._bundle, self._networks, self._reference, self._engine, window
                )
            if equal and layer is None:
                self.n_equal += 1
            elif self.first is None:
                where = f"{recording} from sample {start}"
                what = layer or "no traced layer: signal chain, score or gate"
                self.first = Difference(self._name, where, what, reference, decision)


def _play(engine: Engine, counts: Int16Array) -> list[Decision]:
    engine.reset()
    return engine.push(counts)


def first_unequal_layer(
    bundle: Bundle, networks: Sequence[str], a: Engine, b: Engine, window: Int8Array
) -> str | None:
    """Return the first layer whose output two engines disagree on, None where there is none.

    A network that one of them has no memory to trace is passed over.
    """
    files = {"filter": bundle.filter_tflite, "classifier": bundle.classifier_tflite}
    for network in networks:
        expected, found = a.trace(network, window), b.trace(network, window)
        if expected is None or found is None:
            continue
        unequal = np.flatnonzero(expected != found)
        if unequal.size:
            return f"{network} layer {read_graph(files[network]).layer_name(int(unequal[0]))}"
    return None


def golden_recordings(bundle: Bundle) -> Iterator[tuple[str, Int16Array]]:
    """Return the bundle's golden windows as recordings."""
    for index, counts in enumerate(bundle.golden.adc_counts):
        yield f"golden {index}", counts


def check_golden(bundle: Bundle, open_reference: EngineOpener) -> Difference | None:
    """Return the first golden window whose recorded decision the reference does not give."""
    golden = bundle.golden
    with open_reference(bundle) as reference:
        for index, (name, counts) in enumerate(golden_recordings(bundle)):
            accepted = bool(golden.accepted[index])
            expected = make_decision(
                window_start=0,
                scores=[golden.scores[index]],
                accepted=accepted,
                reason=REASON_OK if accepted else REASON_UNFAMILIAR,
                label=golden.labels[index],
                margin=golden.margins[index],
            )
            (found,) = _play(reference, counts)
            if found != expected:
                return Difference(REFERENCE, name, "the record in golden.npz", expected, found)
    return None


def _beginnings(
    bundle: Bundle, leads: Sequence[str], open_record: OpenRecord, n_by_record: dict[str, int]
) -> Iterator[tuple[str, Int16Array]]:
    """Return the beginning of each record, of as many windows as `n_by_record` says.

    No more is read: a recording may last for days.
    """
    data = bundle.data
    for record_id, n_windows in n_by_record.items():
        reader = open_record(record_id, leads)
        check_front_end(reader.record, bundle.chain)
        n_samples = bundle.chain.n_samples(data.window_len + (n_windows - 1) * data.hop_len)
        yield f"record {record_id}", reader.read(0, n_samples)
