"""One point of the search: a detector, its parameters, how it is trained and on what windows."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from export.quantize import PARAMETERS_MAX

from .detectors import DETECTORS, Detector
from .detectors.detector import count_detector
from .layers import Counts
from .plan import TrainingPlan
from .windows import Augmentation

WINDOW_S = 10.0
WINDOWS_S = (2.5, 5.0, WINDOW_S)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything a search chooses.

    Parameters
    ----------
    detector : name in `DETECTORS`; params : an instance of its `Params`.
    plan : how long and how fast it is trained.
    augmentation : of the training windows.
    window_s : length of a window in seconds.

    Raises
    ------
    ValueError : there is no such detector, or the window is not positive.
    """

    detector: str
    params: Any
    plan: TrainingPlan
    augmentation: Augmentation = field(default_factory=Augmentation)
    window_s: float = WINDOW_S

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        assert isinstance(self.params, detector_named(self.detector).Params)
        if not 0 < self.window_s < float("inf"):
            raise ValueError(f"window_s must be positive, got {self.window_s}")

    @property
    def module(self) -> Detector:
        """The detector itself."""
        return detector_named(self.detector)

    def count(self, input_shape: tuple[int, int]) -> Counts:
        """Return what the network costs; see `check_cap` for what it may.

        Raises
        ------
        ValueError : windows of `input_shape` (window_len, n_leads) are too short for it.
        """
        return count_detector(self.module, self.params, input_shape)

    def check_cap(self, input_shape: tuple[int, int]) -> None:
        """Raise ValueError where it has more parameters than a filter may, or as `count`."""
        n_parameters = self.count(input_shape).n_parameters
        if n_parameters > PARAMETERS_MAX:
            raise ValueError(
                f"a filter must have at most {PARAMETERS_MAX:,} parameters, "
                f"{self.detector} of these parameters has {n_parameters:,}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the candidate in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Candidate":
        """Return the candidate that `to_json` wrote; what is missing is the family's default.

        Raises
        ------
        ValueError : a name is unknown, or a value is of the wrong type or out of range.
        """
        given = _checked(_Described, values, "a candidate")
        default = default_candidate(given.detector)
        return cls(
            detector=given.detector,
            params=_checked(type(default.params), given.params, "params"),
            plan=_checked(TrainingPlan, {**asdict(default.plan), **given.plan}, "plan"),
            augmentation=given.augmentation,
            window_s=given.window_s,
        )


@dataclass(frozen=True, slots=True)
class _Described:
    """A candidate as JSON has it: of what type `params` are, only the detector knows."""

    detector: str
    params: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    window_s: float = WINDOW_S


def _checked(kind: Any, value: Any, name: str) -> Any:
    """Return `value`, of JSON types, as the dataclass `kind`; nothing is converted or ignored.

    Raises
    ------
    ValueError : a value is of the wrong type or refused, or a name is unknown; `name` in front.
    """
    try:
        adapter = TypeAdapter(kind)
        return adapter.validate_json(json.dumps(value), strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        complaint = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {complaint}, got {first['input']!r}") from error


def detector_named(name: str) -> Detector:
    """Return an entry of `DETECTORS`.

    Raises
    ------
    ValueError : there is none of that name.
    """
    if name not in DETECTORS:
        raise ValueError(f"detector must be one of {', '.join(DETECTORS)}, got {name}")
    return DETECTORS[name]


def default_candidate(name: str) -> Candidate:
    """Return the hand-picked candidate of a family.

    Raises
    ------
    ValueError : there is no such detector.
    """
    detector = detector_named(name)
    return Candidate(name, detector.Params(), detector.PLAN)


def suggest_candidate(trial: Any, name: str, fs: float, n_leads: int) -> Candidate:
    """Draw a candidate of family `name` from `trial`, an `optuna.Trial`.

    Parameters
    ----------
    fs : rate of the networks in Hz; n_leads : their input channels.

    Raises
    ------
    ValueError : there is no such detector.
    """
    detector = detector_named(name)
    window_s = trial.suggest_categorical("window_s", WINDOWS_S)
    augmentation = Augmentation(
        gain=trial.suggest_float("augmentation_gain", 0.0, 0.3),
        noise_mv=trial.suggest_float("augmentation_noise_mv", 0.0, 0.05),
    )
    plan = replace(
        detector.PLAN,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    )
    params = detector.suggest(trial, (round(window_s * fs), n_leads))
    return Candidate(name, params, plan, augmentation, window_s)
