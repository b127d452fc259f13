"""What decides a search, apart from how long it runs and on how many machines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from datasets import SUPERCLASSES
from export.boards import load_board
from export.quantize import PARAMETERS_MAX
from export.training_run import DataSettings

from ..detectors import DETECTORS

SAMPLERS = ("tpe", "nsga2", "random")
COSTS = ("flash_bytes", "instructions_per_second", "arena_bytes")
NOISE = "noise"
AUROC = "auroc"
BOARD = "qemu-m4"
BASELINE = "random"
"""The sampler that others are compared with."""
HEARTBEAT_S = 20


@dataclass(frozen=True, slots=True)
class Gate:
    """A detector that every trial has.

    Parameters
    ----------
    name : of the gate, which begins the names of its parameters where there are two.
    detectors : families it may be of.
    surrogates : what it is judged by: superclasses, or `NOISE`.

    Raises
    ------
    ValueError : it has no family or no surrogate, or one that there is not.
    """

    name: str
    detectors: tuple[str, ...]
    surrogates: tuple[str, ...]

    def __post_init__(self) -> None:
        _check("detectors", self.detectors, tuple(DETECTORS))
        _check("surrogates", self.surrogates, (*SUPERCLASSES, NOISE))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Gate":
        """Return the gate whose fields these are, in JSON types."""
        return cls(values["name"], tuple(values["detectors"]), tuple(values["surrogates"]))


def _check(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{what} must be one or more names, each once, got {', '.join(names)}")
    for name in names:
        if name not in known:
            raise ValueError(f"{what} must be of {', '.join(known)}, got {name}")


@dataclass(frozen=True, slots=True)
class Objective:
    """One of the figures that a trial is judged by; direction is Optuna's word."""

    name: str
    direction: Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What decides a search.

    Parameters
    ----------
    data : the recordings; what the surrogates leave out is left out of training too.
    gates : one, or two that share the cap on parameters.
    costs : of `COSTS`, to make small, beside the AUROC that is to be large.
    board : whose costs count, and whose flash, RAM and clock bound what is searched.
    sampler : one of `SAMPLERS`; seed : of the sampler and of every training.
    macs_max : multiply-accumulates of a window, all gates together, above which nothing is trained.
    windows_max : training windows of 10 s of a whole fit; more are left out.
    rungs : parts of them that a trial is fitted on, ascending; it goes on to the next where it does
        well enough.
    noise_data : folder of the Noise Stress Test database; None draws synthetic noise.

    Raises
    ------
    ValueError : a value is out of range; the text names it.
    """

    data: DataSettings
    gates: tuple[Gate, ...]
    costs: tuple[str, ...]
    board: str = BOARD
    sampler: str = "tpe"
    seed: int = 0
    macs_max: int = 10_000_000
    windows_max: int = 15_000
    rungs: tuple[float, ...] = (1 / 9, 1 / 3, 1.0)
    noise_data: str | None = None

    def __post_init__(self) -> None:
        """Check what the docstring says."""
        _check("costs", self.costs, COSTS)
        _check("sampler", (self.sampler,), SAMPLERS)
        if len({gate.name for gate in self.gates}) < len(self.gates) or not self.gates:
            raise ValueError(f"gates must be one or more, each of its own name, got {self.gates}")
        if len(self.surrogate_classes) > 1:
            raise ValueError(
                "surrogates must name one superclass at most, since it is left out of training, "
                f"got {', '.join(self.surrogate_classes)}"
            )
        if self.data.hold_out in self.surrogate_classes:
            raise ValueError(f"a surrogate must not be the held-out {self.data.hold_out}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2^32), got {self.seed}")
        if min(self.macs_max, self.windows_max) < 1:
            raise ValueError(
                f"macs_max and windows_max must be at least 1, got {self.macs_max} and "
                f"{self.windows_max}"
            )
        ascending = tuple(sorted(set(self.rungs))) == self.rungs
        if not (self.rungs and ascending and self.rungs[0] > 0 and self.rungs[-1] == 1):
            raise ValueError(f"rungs must ascend from above 0 to 1, got {self.rungs}")
        load_board(self.board)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What a trial is judged by, in the study's order."""
        costs = [Objective(name, "minimize") for name in self.costs]
        return (Objective(AUROC, "maximize"), *costs)

    @property
    def surrogates(self) -> tuple[str, ...]:
        """What any gate is judged by."""
        return tuple(dict.fromkeys(s for gate in self.gates for s in gate.surrogates))

    @property
    def surrogate_classes(self) -> tuple[str, ...]:
        """Those surrogates that are a superclass: none or one."""
        return tuple(s for s in self.surrogates if s != NOISE)

    @property
    def trained_classes(self) -> tuple[str, ...]:
        """The superclasses that a trial is trained on."""
        return tuple(c for c in self.data.classes if c not in self.surrogate_classes)

    @property
    def parameters_max(self) -> int:
        """Cap on the parameters of all gates together."""
        return PARAMETERS_MAX

    def to_json(self) -> dict[str, Any]:
        """Return the settings in JSON types; where the recordings lie is none of them."""
        values = asdict(self)
        del values["noise_data"]
        noise = "synthetic" if self.noise_data is None else "recorded"
        return {**values, "data": self.data.identity(), "noise": noise}

    @classmethod
    def from_json(
        cls, values: dict[str, Any], data: str | None = None, noise_data: str | None = None
    ) -> "SweepSettings":
        """Return the settings that `to_json` wrote.

        Parameters
        ----------
        data, noise_data : where the recordings and the noise lie.

        Raises
        ------
        ValueError : they are not settings of a sweep.
        """
        try:
            known = {name: value for name, value in values.items() if name != "noise"}
            lists = {name: tuple(known[name]) for name in ("costs", "rungs")}
            gates = tuple(Gate.from_json(gate) for gate in known["gates"])
            leads = tuple(known["data"]["leads"])
            recordings = DataSettings(**{**known["data"], "data": data, "leads": leads})
            given = {**known, **lists, "gates": gates, "data": recordings}
            return cls(**given, noise_data=noise_data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a study must hold the settings of a sweep: {error!r}") from error
