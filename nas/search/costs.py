"""What a candidate costs, known before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..candidate import Candidate
from ..detectors.detector import count_detector
from ..layers import Counts
from .settings import SweepSettings

HOP_S = 1.0  # from decision to decision, as a run has it


@dataclass(frozen=True, slots=True)
class Costs:
    """What the gates of a trial cost together.

    Parameters
    ----------
    n_parameters : of all gates; macs : multiply-accumulates of all gates' windows.
    figures : what may be an objective, by name: one for each of `REFERENCES`.
    excess : constraint -> how far above its bound, in parts of the bound; 0 and below is feasible.
    """

    n_parameters: int
    macs: int
    figures: dict[str, float]
    excess: dict[str, float]


REFERENCES = {"parameters": 512_000.0, "macs_per_second": 1e7}
"""Every figure there is, and the cost from which hypervolume counts: what nobody would build."""


def costs_of(candidates: Sequence[Candidate], settings: SweepSettings) -> Costs:
    """Return what candidates cost together; nothing is built.

    Raises
    ------
    ValueError : a window is too short for its network.
    """
    counts = [_count(candidate, settings) for candidate in candidates]
    n_parameters = sum(count.n_parameters for count in counts)
    macs = sum(count.macs for count in counts)
    return Costs(
        n_parameters,
        macs,
        figures={"parameters": float(n_parameters), "macs_per_second": macs / HOP_S},
        excess={
            "parameters": n_parameters / settings.parameters_max - 1,
            "macs": macs / settings.macs_max - 1,
        },
    )


def input_shape(candidate: Candidate, settings: SweepSettings) -> tuple[int, int]:
    """Return (window_len, n_leads) of the candidate's windows."""
    return round(candidate.window_s * settings.data.fs_target), len(settings.data.leads)


def _count(candidate: Candidate, settings: SweepSettings) -> Counts:
    return count_detector(candidate.module, candidate.params, input_shape(candidate, settings))
