"""A bundle made ready for recordings of other sensors than its own, each record by its own header.

Records of one sensor that follow one another make a part; an engine runs a part, since rate and
gain are in the blobs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from datasets import EcgRecord, RecordReader, window_starts
from datasets.progress import progress
from datasets.recordings import LeadAbsentError
from export.bundle import Bundle
from export.signal_chain import SignalChain

NAMED_MAX = 3  # sensors and records named one by one

OpenRecord = Callable[[str, Sequence[str]], RecordReader]
"""Opens the record of an id with these leads: `Dataset.open`, or a protocol's door to it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Recordings of one sensor, and the bundle behind the signal chain for it.

    `n_windows` : record_id -> how many windows it gives, in the order to play them.
    """

    bundle: Bundle
    n_windows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Programme:
    """What is to be played, in which order, through which front end.

    Parameters
    ----------
    leads : of the recordings, what the networks take for theirs.
    parts : in order; every one has a record.
    skipped : ids of the records without these leads.
    remarks : what a reader must know of all this, a sentence or two each.
    """

    leads: tuple[str, ...]
    parts: tuple[Part, ...]
    skipped: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def bundle(self) -> Bundle:
        """The bundle of the part that needs most memory: what a board must have for all parts."""
        return max((part.bundle for part in self.parts), key=lambda b: b.manifest["arena_bytes"])


@dataclass(frozen=True, slots=True)
class _Sensor:
    """What a record says of the sensor it came from."""

    fs: float
    adc_gain: float
    baseline: int

    @classmethod
    def of(cls, source: EcgRecord | SignalChain) -> "_Sensor":
        return cls(source.fs, source.adc_gain, source.baseline)

    def __str__(self) -> str:
        return f"{self.fs:g} Hz, {self.adc_gain:g} counts/mV, 0 mV at {self.baseline}"


@dataclass(frozen=True, slots=True)
class _Header:
    """What has to be known of a record before it is played; nothing of it stays open."""

    record_id: str
    sensor: _Sensor
    n_samples: int


def fit_front_ends(
    bundle: Bundle,
    open_record: OpenRecord,
    record_ids: Sequence[str],
    leads: Sequence[str] | None = None,
    mains_hz: float | None = None,
) -> Programme:
    """Return how `bundle` is to play these recordings.

    Parameters
    ----------
    bundle : as it was made; it plays as it is what its own sensor recorded.
    open_record, record_ids : the recordings, in order; only their headers are looked at.
    leads : of the recordings, in place of the bundle's; None = the same. A record that lacks one of
        them is left out, and the remarks say so.
    mains_hz : mains to take out of the recordings; None = as in the bundle where its own sensor is
        meant, else none.

    Raises
    ------
    ValueError : no record, none that has the leads, other leads than the bundle has inputs, one
        shorter than a window, or no signal chain leads from one to the networks.
    """
    own = bundle.data.leads
    chosen = tuple(leads or own)
    if len(chosen) != len(own):
        raise ValueError(
            f"leads must be {len(own)} in place of {', '.join(own)}, got {', '.join(chosen)}"
        )
    headers, skipped = _read_headers(open_record, record_ids, chosen)
    fit = _Fitter(bundle, mains_hz)
    parts = []
    for sensor, group in groupby(headers, key=lambda header: header.sensor):
        fitted = fit(sensor)
        n_windows = {header.record_id: _count_windows(fitted, header) for header in group}
        parts.append(Part(fitted, n_windows))
    remarks = _lead_remarks(own, chosen, len(record_ids), skipped)
    return Programme(chosen, tuple(parts), skipped, (*remarks, *fit.remarks(parts)))


class _Fitter:
    """Puts a bundle behind the signal chain of one sensor after the other, each only once."""

    def __init__(self, bundle: Bundle, mains_hz: float | None) -> None:
        self._bundle, self._mains_hz = bundle, mains_hz
        self._fitted: dict[_Sensor, Bundle] = {}
        if mains_hz in (None, bundle.chain.mains_hz):
            self._fitted[_Sensor.of(bundle.chain)] = bundle

    def __call__(self, sensor: _Sensor) -> Bundle:
        if sensor not in self._fitted:
            self._fitted[sensor] = self._bundle.with_front_end(
                sensor.fs, sensor.adc_gain, sensor.baseline, self._mains_hz
            )
        return self._fitted[sensor]

    def remarks(self, parts: Iterable[Part]) -> list[str]:
        """Return what was set, for how many records; nothing where the bundle's own is used."""
        changed = [part for part in parts if part.bundle is not self._bundle]
        if not changed:
            return []
        n_records = sum(len(part.n_windows) for part in changed)
        chains = list(dict.fromkeys(part.bundle.chain for part in changed))
        return [
            f"Front end of {n_records:,} record{'' if n_records == 1 else 's'} set to "
            f"{_listed([_words(chain) for chain in chains], '; ')}, in place of the bundle's "
            f"({_words(self._bundle.chain)}): the same networks behind a signal chain for it, at "
            f"{self._bundle.chain.fs_target:g} Hz. The threshold is the bundle's, not calibrated "
            f"for {'this sensor' if len(chains) == 1 else 'these sensors'}."
        ]


def _read_headers(
    open_record: OpenRecord, record_ids: Sequence[str], leads: Sequence[str]
) -> tuple[list[_Header], tuple[str, ...]]:
    """Return the headers of the records that have `leads`, and the ids of the others.

    Raises
    ------
    ValueError : there is none that has them.
    """
    headers, skipped = [], []
    available: dict[str, None] = {}
    with progress("Opening records", len(record_ids)) as advance:
        for record_id in record_ids:
            try:
                reader = open_record(record_id, leads)
                headers.append(_Header(record_id, _Sensor.of(reader.record), reader.n_samples))
            except LeadAbsentError as error:
                skipped.append(record_id)
                available.update(dict.fromkeys(error.available))
            advance()
    if not headers:
        have = f" with {', '.join(available)}" if available else ""
        raise ValueError(
            f"lead {', '.join(leads)} must be in one record at least, got {len(record_ids):,}{have}"
        )
    return headers, tuple(skipped)


def _count_windows(bundle: Bundle, header: _Header) -> int:
    n_codes = bundle.chain.n_codes(header.n_samples)
    data = bundle.data
    return len(window_starts(n_codes, data.window_len, data.hop_len, header.record_id))


def _lead_remarks(
    own: Sequence[str], leads: Sequence[str], n_records: int, skipped: Sequence[str]
) -> list[str]:
    remarks = []
    names = ", ".join(leads)
    if [lead.upper() for lead in leads] != [lead.upper() for lead in own]:
        verb = "takes" if len(leads) == 1 else "take"
        remarks.append(
            f"Lead {names} {verb} the place of {', '.join(own)}, which the networks were trained "
            "on."
        )
    if skipped:
        remarks.append(
            f"{len(skipped):,} of {n_records:,} records left out, without lead {names}: "
            f"{_listed(skipped, ', ')}."
        )
    return remarks


def _listed(names: Sequence[str], separator: str) -> str:
    rest = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return separator.join(names[:NAMED_MAX]) + rest


def _words(chain: SignalChain) -> str:
    notch = "" if chain.mains_hz is None else f", notch at {chain.mains_hz:g} Hz"
    return f"{_Sensor.of(chain)}{notch}"
