"""The folder `runs/NAME`: what training leaves and export reads.

    filter.keras, filter.json            the network that ships, its score constants
    classifier.keras, classifier.json    the diagnostic network, its classes

`nas` writes it and `export` reads it; neither imports the other's half.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets import SUPERCLASSES

from .signal_chain import SignalChain

FORMAT = 2
PARTS = ("filter", "classifier")


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What a network was trained on; filter and classifier of one run share it.

    Parameters
    ----------
    dataset : name in `datasets.DATASETS`; fingerprint : that of its recordings.
    data : its folder or settings, None where it needs none. Where recordings lie is no part of
        what they are: equal settings may differ in it.
    leads : lead names, in the order of the network's input channels.
    hold_out : superclass that training, selection and calibration never see, or None.
    fs, fs_target : rate of the recordings and of the model in Hz.
    adc_gain, baseline, highpass_hz, lsb_mv, mains_hz : as in `SignalChain`.
    window_s, hop_s : window and hop in seconds.
    rehearsal : as in `datasets.leave_one_out`.
    """

    dataset: str
    data: str | None = field(compare=False)
    leads: tuple[str, ...]
    hold_out: str | None
    fs: float = 100.0
    adc_gain: float = 1000.0
    baseline: int = 0
    highpass_hz: float = 0.5
    lsb_mv: float = 1 / 64
    window_s: float = 10.0
    hop_s: float = 1.0
    fingerprint: str = ""
    rehearsal: bool = False
    fs_target: float = 100.0
    mains_hz: float | None = None

    def __post_init__(self) -> None:
        if self.hold_out is not None and self.hold_out not in SUPERCLASSES:
            raise ValueError(
                f"hold_out must be one of {', '.join(SUPERCLASSES)}, got {self.hold_out}"
            )
        if not self.leads:
            raise ValueError("leads must name at least one lead, got none")
        for name in ("window_s", "hop_s"):
            if round(getattr(self, name) * self.fs_target) < 1:
                raise ValueError(
                    f"{name} must be at least one sample at {self.fs_target:g} Hz, "
                    f"got {getattr(self, name)}"
                )

    @property
    def chain(self) -> SignalChain:
        """The signal chain these settings describe."""
        return SignalChain(
            fs=self.fs,
            fs_target=self.fs_target,
            adc_gain=self.adc_gain,
            baseline=self.baseline,
            highpass_hz=self.highpass_hz,
            lsb_mv=self.lsb_mv,
            mains_hz=self.mains_hz,
        )

    @property
    def window_len(self) -> int:
        """Window length in samples of the model."""
        return round(self.window_s * self.fs_target)

    @property
    def hop_len(self) -> int:
        """Hop in samples of the model."""
        return round(self.hop_s * self.fs_target)

    def identity(self) -> dict[str, Any]:
        """Return all that decides what a network sees, by name: everything but `data`."""
        fields = asdict(self)
        del fields["data"]
        return fields

    @property
    def classes(self) -> tuple[str, ...]:
        """The classifier's outputs: the superclasses that are in distribution."""
        return tuple(name for name in SUPERCLASSES if name != self.hold_out)


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """One trained network of a run; `details` is whatever else its JSON holds.

    `score_rule` and `score_constants` belong to a filter, `classes` to a classifier.
    """

    data: DataSettings
    seed: int
    score_rule: str | None = None
    score_constants: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def model_path(run: Path, part: str) -> Path:
    """Return where `part` ("filter" or "classifier") of `run` keeps its Keras model."""
    return run / f"{part}.keras"


def save_part(run: Path, part: str, trained: TrainedPart) -> None:
    """Write `part`.json; the Keras model beside it is the caller's to save first.

    The JSON is written last and by rename, so that a part with a JSON is a finished one.
    """
    assert part in PARTS
    path = run / f"{part}.json"
    text = json.dumps({"format": FORMAT, **asdict(trained)}, indent=2)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(text + "\n")
    temporary.replace(path)


def load_part(run: Path, part: str) -> TrainedPart:
    """Read `part`.json of a run.

    Raises
    ------
    FileNotFoundError : the run has no such finished part.
    ValueError : the file is not one that `save_part` wrote.
    """
    path = run / f"{part}.json"
    if not path.exists():
        command = "train" if part == "filter" else "classifier"
        raise FileNotFoundError(
            f"{path} must exist, it does not: run `python -m nas {command} --run {run}` first"
        )
    try:
        fields = json.loads(path.read_text())
        if fields.pop("format") != FORMAT:
            raise ValueError("unknown format")
        data = fields.pop("data")
        data["leads"] = tuple(data["leads"])
        fields["classes"] = tuple(fields["classes"])
        return TrainedPart(data=DataSettings(**data), **fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} must be a {part} description of format {FORMAT}: {error}"
        ) from error
