"""The types every data set hands out: one recording, and a stack of windows cut from recordings."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
StrArray = npt.NDArray[np.str_]

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
"""PTB-XL's diagnostic superclasses (Wagner et al. 2020, table 5): normal, myocardial infarction,
ST/T change, conduction disturbance, hypertrophy."""


def check_superclasses(superclasses: frozenset[str], record_id: str) -> None:
    """Raise ValueError where a record carries one that is spelt otherwise than `SUPERCLASSES`."""
    unknown = superclasses - set(SUPERCLASSES)
    if unknown:
        raise ValueError(
            f"superclasses must be among {', '.join(SUPERCLASSES)}, "
            f"got {', '.join(sorted(unknown))} in record {record_id}"
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples [start, stop) of a recording, and what somebody says of them.

    Parameters
    ----------
    start, stop : sample indices at the recording's rate, half-open.
    kind : "quality" (a grade by annotators), "fault" (injected, a key of `FAULTS`) or "rhythm".
    label : the grade, the fault's name, the rhythm.
    agreement : the part of the annotators who said so, None where that is not known.
    """

    start: int
    stop: int
    kind: str
    label: str
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Annotations:
    """What is marked in a recording.

    Parameters
    ----------
    stretches : in order of their start; those of one kind do not overlap.
    beats : int64 (n_beats,), sample of every beat, ascending.
    symbols : str (n_beats,), WFDB's beat codes ("N", "V", ...).
    """

    stretches: tuple[Stretch, ...] = ()
    beats: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    symbols: StrArray = field(default_factory=lambda: np.empty(0, np.str_))

    def between(self, start: int, stop: int) -> "Annotations":
        """Return what is marked in samples [start, stop), counted from `start`."""
        inside = (self.beats >= start) & (self.beats < stop)
        return Annotations(
            stretches=tuple(
                replace(s, start=max(s.start, start) - start, stop=min(s.stop, stop) - start)
                for s in self.stretches
                if s.start < stop and s.stop > start
            ),
            beats=self.beats[inside] - start,
            symbols=self.symbols[inside],
        )


@dataclass(frozen=True, slots=True)
class EcgRecord:
    """One ECG recording as the sensor delivered it: ADC counts, never scaled or filtered.

    Parameters
    ----------
    record_id, subject_id : identifiers inside the data set; splits go by `subject_id`.
    fs : sample rate in Hz.
    leads : lead names, one a column of `adc_counts`.
    adc_counts : int16 array (n_samples, n_leads).
    adc_gain : ADC counts per mV, the same for every lead.
    baseline : ADC count that means 0 mV.
    fold : the data set's own stratified fold, None where it has none.
    superclasses : members of `SUPERCLASSES` the record carries; may be empty.
    noise_flags : quality remarks of the data set's authors; empty = no remark.
    sex : "male", "female" or None; age : years or None.
    annotations : beats and stretches somebody marked; empty for most data sets.

    Raises
    ------
    ValueError : a field breaks one of the rules above; the text names the record and the value.
    """

    record_id: str
    subject_id: str
    fs: float
    leads: tuple[str, ...]
    adc_counts: Int16Array
    adc_gain: float
    baseline: int = 0
    fold: int | None = None
    superclasses: frozenset[str] = frozenset()
    noise_flags: frozenset[str] = frozenset()
    sex: str | None = None
    age: float | None = None
    annotations: Annotations = field(default_factory=Annotations)

    def __post_init__(self) -> None:
        if self.adc_counts.dtype != np.int16 or self.adc_counts.ndim != 2:
            raise ValueError(
                f"adc_counts must be int16 (n_samples, n_leads), got {self.adc_counts.dtype} "
                f"{self.adc_counts.shape} in record {self.record_id}"
            )
        if self.adc_counts.shape[1] != len(self.leads):
            raise ValueError(
                f"adc_counts must have one column a lead, got {self.adc_counts.shape[1]} columns "
                f"for leads {', '.join(self.leads)} in record {self.record_id}"
            )
        for name, value in (("fs", self.fs), ("adc_gain", self.adc_gain)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value} in record {self.record_id}")
        check_superclasses(self.superclasses, self.record_id)

    @property
    def signal_mv(self) -> FloatArray:
        """The signal in mV, float64 (n_samples, n_leads)."""
        return (self.adc_counts.astype(np.float64) - self.baseline) / self.adc_gain

    @property
    def clean(self) -> bool:
        """Whether the data set's authors remarked no noise in the record."""
        return not self.noise_flags


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows in the units the networks read: the signal chain's int8 codes.

    Parameters
    ----------
    x : int8 array (n_windows, window_len, n_leads); one code is `lsb_mv` mV.
    lsb_mv : mV per code.
    fs : sample rate of `x` in Hz.
    leads : lead names, one a column of `x`.
    record_ids, subject_ids : str arrays (n_windows,).
    starts : int64 array (n_windows,), first sample of the window in its record at `fs`.
    labels : bool array (n_windows, 5), column order of `SUPERCLASSES`.
    clean : bool array (n_windows,), False where the record carries a noise remark.
    quality : int8 array (n_windows,), the worst grade annotators gave a sample of the window, 1
        clean to 3 unusable; 0 where the recording has no grades. Default 0.
    agreement : float32 array (n_windows,), the least part of the annotators behind those grades;
        NaN where unknown. Default NaN.
    """

    x: Int8Array
    lsb_mv: float
    fs: float
    leads: tuple[str, ...]
    record_ids: StrArray
    subject_ids: StrArray
    starts: Int64Array
    labels: BoolArray
    clean: BoolArray
    quality: Int8Array = field(default_factory=lambda: np.empty(0, np.int8))
    agreement: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        n_windows = len(self.x)
        if self.x.dtype != np.int8 or self.x.ndim != 3 or self.x.shape[2] != len(self.leads):
            raise ValueError(
                f"x must be int8 (n_windows, window_len, {len(self.leads)}), "
                f"got {self.x.dtype} {self.x.shape}"
            )
        if len(self.quality) == len(self.agreement) == 0:  # not given: no grades are known
            object.__setattr__(self, "quality", np.zeros(n_windows, np.int8))
            object.__setattr__(self, "agreement", np.full(n_windows, np.nan, np.float32))
        per_window = ("record_ids", "subject_ids", "starts", "labels", "clean")
        for name in (*per_window, "quality", "agreement"):
            if len(getattr(self, name)) != n_windows:
                raise ValueError(
                    f"{name} must have one row a window ({n_windows}), "
                    f"got {len(getattr(self, name))}"
                )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def x_mv(self) -> npt.NDArray[np.float32]:
        """`x` in mV, float32: what a Keras model is trained on."""
        return self.x.astype(np.float32) * np.float32(self.lsb_mv)
