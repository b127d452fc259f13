"""A recording drawn as a cardiologist reads it: mV over seconds on ECG paper, and what is marked.

What the drawings share; `datasets.ecg_sheet` draws PNG files, `datasets.ecg_page` HTML files.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .dataset import Dataset
from .faults import FAULTS, NOISE_FAULTS, FaultSettings, add_fault
from .records import EcgRecord, FloatArray, Stretch

# A small square is 40 ms by 0.1 mV, a large one five of them: 25 mm/s and 10 mm/mV.
LARGE_SQUARE_S = 0.2
LARGE_SQUARE_MV = 0.5
SMALL_PER_LARGE = 5
PAPER, SMALL_LINE, LARGE_LINE, INK = "#fffaf9", "#fadcd8", "#eea79f", "#1b1b1f"

SECONDS_DEFAULT, SECONDS_MAX = 10.0, 60.0
ROW_S = 10.0  # a longer excerpt goes on in the next row
FAULT_WITH_MARGINS_S = 4.0  # an excerpt as long shows the signal before and after the fault

QUALITY_COLORS = {"1": "#2e7d32", "2": "#ef9a00", "3": "#c62828"}
QUALITY_MEANINGS = {"1": "all waves clear", "2": "QRS clear", "3": "unusable"}
FAULT_COLOR, RHYTHM_COLOR, BEAT_COLOR, ODD_BEAT_COLOR = "#5e35b1", "#1b5e8a", "#7d7d86", "#b00020"
NORMAL_BEAT = "N"
RHYTHM_NAMES = {
    "AB": "atrial bigeminy",
    "AFIB": "atrial fibrillation",
    "AFL": "atrial flutter",
    "B": "ventricular bigeminy",
    "BII": "second-degree heart block",
    "IVR": "idioventricular rhythm",
    "N": "sinus rhythm",
    "NOD": "nodal rhythm",
    "P": "paced rhythm",
    "PREX": "pre-excitation",
    "SBR": "sinus bradycardia",
    "SVTA": "supraventricular tachyarrhythmia",
    "T": "ventricular trigeminy",
    "VFL": "ventricular flutter",
    "VT": "ventricular tachycardia",
}
BEAT_NAMES = {
    "N": "normal",
    "L": "left bundle branch block",
    "R": "right bundle branch block",
    "A": "atrial premature",
    "a": "aberrated atrial premature",
    "J": "nodal premature",
    "S": "supraventricular premature",
    "V": "ventricular premature",
    "F": "fusion",
    "e": "atrial escape",
    "j": "nodal escape",
    "E": "ventricular escape",
    "/": "paced",
    "f": "fusion of paced and normal",
    "Q": "unclassifiable",
}
"""WFDB's codes, https://physionet.org/physiotools/wfdb/lib/ecgcodes.h, and its rhythm labels."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a recording.

    Parameters
    ----------
    dataset : name of the data set it is from.
    record : of the stretch alone; its annotations count from there.
    start_s : where it begins in the whole recording.
    total_s : how long that is.
    remark : what was done to it, "" for nothing.
    """

    dataset: str
    record: EcgRecord
    start_s: float
    total_s: float
    remark: str = ""

    @property
    def duration_s(self) -> float:
        """How long the excerpt is."""
        return len(self.record.adc_counts) / self.record.fs

    @property
    def drawn_mv(self) -> FloatArray:
        """The signal in mV about each lead's median outside faults, float64 (n_samples, n_leads).

        Recorders couple the electrodes by a capacitor: where a trace rests says nothing.
        """
        signal_mv = self.record.signal_mv
        sound = np.ones(len(signal_mv), bool)
        for stretch in self.record.annotations.stretches:
            if stretch.kind == "fault":
                sound[stretch.start : stretch.stop] = False
        return np.asarray(
            signal_mv - np.median(signal_mv[sound if sound.any() else ~sound], axis=0)
        )


def take_excerpt(
    dataset: Dataset,
    record_id: str,
    leads: tuple[str, ...] | None,
    start_s: float,
    seconds: float | None,
) -> Excerpt:
    """Return a stretch of a recording, reading no more of it than that.

    Parameters
    ----------
    leads : None = all.
    seconds : its length; None = 10, or what there is.

    Raises
    ------
    ValueError : the stretch is empty, longer than 60 s, or not in the recording.
    """
    reader = dataset.open(record_id, leads)
    fs = reader.record.fs
    total_s = reader.n_samples / fs
    if not 0 <= start_s < total_s:
        raise ValueError(
            f"start must be in the {total_s:g} s of record {record_id}, got {start_s:g}"
        )
    if seconds is None:
        seconds = min(SECONDS_DEFAULT, total_s - start_s)
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"seconds must be more than 0 and at most {SECONDS_MAX:g}, got {seconds}")
    start, stop = round(start_s * fs), round((start_s + seconds) * fs)
    if stop > reader.n_samples:
        raise ValueError(
            f"the stretch must end in the {total_s:g} s of record {record_id}, "
            f"got {start_s:g} to {start_s + seconds:g} s"
        )
    if stop - start < 2:
        raise ValueError(f"seconds must be two samples at {fs:g} Hz or more, got {seconds:g}")
    record = replace(
        reader.record,
        adc_counts=reader.read(start, stop),
        annotations=reader.record.annotations.between(start, stop),
    )
    return Excerpt(dataset.name, record, start / fs, total_s)


def with_fault(excerpt: Excerpt, name: str, snr_db: float | None, seed: int) -> Excerpt:
    """Return the excerpt with a fault in its middle half, or in all of one that is short.

    Parameters
    ----------
    name : a key of `FAULTS`.
    snr_db : of faults that are noise, as `datasets.snr` defines it; None = 6.

    Raises
    ------
    ValueError : there is no such fault, it has no SNR, or the excerpt is too short for it.
    """
    if name not in FAULTS:
        raise ValueError(f"fault must be one of {', '.join(FAULTS)}, got {name}")
    if snr_db is not None and name not in NOISE_FAULTS:
        raise ValueError(f"snr is for {', '.join(NOISE_FAULTS)}, got it with {name}")
    if snr_db is not None and not np.isfinite(snr_db):
        raise ValueError(f"snr must be a number of dB, got {snr_db}")
    n_samples = len(excerpt.record.adc_counts)
    margin = n_samples // 4 if excerpt.duration_s >= FAULT_WITH_MARGINS_S else 0
    level = {} if snr_db is None else {"snr_db": snr_db}
    settings = FaultSettings.of(
        excerpt.record, "percentiles", start=margin, stop=n_samples - margin, **level
    )
    record = add_fault(excerpt.record, name, np.random.default_rng(seed), settings)
    at = f" at {settings.snr_db:g} dB" if name in NOISE_FAULTS else ""
    return replace(excerpt, record=record, remark=f"{_words(name)}{at} added, seed {seed}")


def excerpt_json(excerpt: Excerpt) -> dict[str, Any]:
    """Return what is drawn, for `--json`; beats and stretches count samples of the excerpt."""
    record, marks = excerpt.record, excerpt.record.annotations
    return {
        "record": record.record_id,
        "subject": record.subject_id,
        "fs": record.fs,
        "leads": list(record.leads),
        "superclasses": sorted(record.superclasses),
        "noise_flags": sorted(record.noise_flags),
        "start_s": excerpt.start_s,
        "seconds": excerpt.duration_s,
        "stretches": [asdict(stretch) for stretch in marks.stretches],
        "beats": marks.beats.tolist(),
        "symbols": marks.symbols.tolist(),
    }


def title(excerpt: Excerpt) -> str:
    """Return the heading of a drawing: data set and record."""
    return f"{excerpt.dataset} record {excerpt.record.record_id}"


def facts(excerpt: Excerpt) -> tuple[str, str]:
    """Return two lines: who and what it is, and what is drawn, at which scale."""
    record = excerpt.record
    age = None if record.age is None else f"{record.age:g} years"
    whose = [
        f"subject {record.subject_id}",
        age or "age not known",
        record.sex or "sex not known",
        ", ".join(sorted(record.superclasses)),
        ", ".join(_words(flag) for flag in sorted(record.noise_flags)),
        excerpt.remark,
    ]
    stop_s = excerpt.start_s + excerpt.duration_s
    drawn = [
        f"{_clock(excerpt.start_s)} to {_clock(stop_s)} of {_clock(excerpt.total_s)}",
        "25 mm/s, 10 mm/mV",
        f"{record.fs:g} Hz",
        f"{record.adc_gain:g} counts/mV",
    ]
    return " · ".join(filter(None, whose)), " · ".join(drawn)


def mark_text(stretch: Stretch) -> str:
    """Return what a drawing writes at a stretch."""
    if stretch.kind == "rhythm":
        return RHYTHM_NAMES.get(stretch.label, stretch.label)
    if stretch.kind != "quality":
        return _words(stretch.label)
    meaning = QUALITY_MEANINGS.get(stretch.label)
    agreed = None if stretch.agreement is None else f"{100 * stretch.agreement:.0f} % agree"
    return ", ".join(filter(None, [f"quality {stretch.label}", meaning, agreed]))


def beat_legend(excerpt: Excerpt) -> str:
    """Return what the letters at beats mean, "" where there are none."""
    symbols = dict.fromkeys(str(symbol) for symbol in sorted(excerpt.record.annotations.symbols))
    names = ", ".join(f"{symbol} {BEAT_NAMES.get(symbol, '')}".strip() for symbol in symbols)
    return f"Beats: {names}." if names else ""


def mark_color(stretch: Stretch) -> str:
    """Return the colour of a stretch."""
    if stretch.kind == "quality":
        return QUALITY_COLORS.get(stretch.label, INK)
    return FAULT_COLOR if stretch.kind == "fault" else RHYTHM_COLOR


def beat_color(symbol: str) -> str:
    """Return the colour of a beat's symbol: only what is not normal stands out."""
    return BEAT_COLOR if symbol == NORMAL_BEAT else ODD_BEAT_COLOR


def rule_as_paper(plot: Any) -> None:
    """Give a bokeh figure, seconds by mV, the background and the squares of ECG paper."""
    from bokeh.models import SingleIntervalTicker

    plot.background_fill_color = PAPER
    plot.outline_line_color = LARGE_LINE
    for grid, square in ((plot.xgrid, LARGE_SQUARE_S), (plot.ygrid, LARGE_SQUARE_MV)):
        grid.ticker = SingleIntervalTicker(interval=square, num_minor_ticks=SMALL_PER_LARGE)
        grid.grid_line_color, grid.grid_line_width = LARGE_LINE, 0.9
        grid.minor_grid_line_color, grid.minor_grid_line_width = SMALL_LINE, 0.6


def _words(name: str) -> str:
    return name.replace("_", " ")


def _clock(seconds: float) -> str:
    """Return 5.5 as "5.5 s" and 3725 as "1:02:05"."""
    if seconds < 60:
        return f"{round(seconds, 3):g} s"
    whole, part = divmod(round(seconds, 3), 1)
    minutes, seconds_ = divmod(int(whole), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds_:02}" if hours else f"{minutes}:{seconds_:02}"
    return clock + (f"{part:.3f}".rstrip("0")[1:] if part else "")
