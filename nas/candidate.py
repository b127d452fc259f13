"""One point of the search: a detector, its parameters, how it is trained and on what windows."""

from dataclasses import asdict, dataclass, field
from typing import Any

import cattrs

from .detectors import DETECTORS, Detector
from .plan import TrainingPlan
from .windows import Augmentation

WINDOWS_S = (2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything a search chooses.

    Parameters
    ----------
    detector : name in `DETECTORS`; params : an instance of its `Params`.
    plan : how long and how fast it is trained.
    augmentation : of the training windows.
    window_s : length of a window in seconds.
    """

    detector: str
    params: Any
    plan: TrainingPlan
    augmentation: Augmentation = field(default_factory=Augmentation)
    window_s: float = 10.0

    @property
    def module(self) -> Detector:
        """The detector itself."""
        return detector_named(self.detector)

    def to_json(self) -> dict[str, Any]:
        """Return the candidate in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Candidate":
        """Return the candidate that `to_json` wrote; what is missing is the family's default.

        Raises
        ------
        ValueError : a name is unknown, or a value is of the wrong type or out of range.
        """
        name = values.get("detector", "")
        default = default_candidate(name)
        given = {**asdict(default), **values}
        given["params"] = {**asdict(default.params), **values.get("params", {})}
        known = set(asdict(default)), set(asdict(default.params))
        for names, keys in ((known[0], set(given)), (known[1], set(given["params"]))):
            if unknown := sorted(keys - names):
                raise ValueError(
                    f"{name} must have only {', '.join(sorted(names))}, got {unknown[0]}"
                )
        try:
            return cls(
                detector=name,
                params=cattrs.structure(given["params"], default.module.Params),
                plan=cattrs.structure(given["plan"], TrainingPlan),
                augmentation=cattrs.structure(given["augmentation"], Augmentation),
                window_s=float(given["window_s"]),
            )
        except cattrs.BaseValidationError as error:
            reasons = "; ".join(cattrs.transform_error(error))
            raise ValueError(f"parameters of {name} must be valid: {reasons}") from error


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
    """
    detector = detector_named(name)
    window_s = trial.suggest_categorical("window_s", WINDOWS_S)
    augmentation = Augmentation(
        gain=trial.suggest_float("augmentation_gain", 0.0, 0.3),
        noise_mv=trial.suggest_float("augmentation_noise_mv", 0.0, 0.05),
    )
    plan = TrainingPlan(
        epochs=detector.PLAN.epochs,
        batch_size=detector.PLAN.batch_size,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    )
    params = detector.suggest(trial, (round(window_s * fs), n_leads))
    return Candidate(name, params, plan, augmentation, window_s)
