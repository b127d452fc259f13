"""What a candidate costs on a board, known before anything is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from datasets import SUPERCLASSES
from export.boards import load_board
from export.cost import CostModel, PlannedNetwork, load_cost_model, plan_network, untrained_score
from export.native import FirmwareError

from ..candidate import Candidate
from ..described import describe
from .settings import SweepSettings

REFERENCES = {
    "flash_bytes": 2.0**20,
    "instructions_per_second": 64e6,  # clock of common Cortex-M4 wearables: all of it
    "arena_bytes": 2.0**18,
}
"""Every figure there is, and the cost from which hypervolume counts: what nobody would build."""

ScoreForm = tuple[str, int]
"""Name of a score rule, and the parts of a `table_sum`; 1 for other rules."""
SCORE_FORMS: Mapping[str, Callable[[Any, int], ScoreForm]] = {
    "deep_svdd": lambda params, n_classes: ("squared_distance", 1),
    "autoencoder": lambda params, n_classes: ("table_sum", 1),
    "vae": lambda params, n_classes: ("table_sum", 3),
    "masked": lambda params, n_classes: ("table_sum", 1),
    "flow": lambda params, n_classes: ("table_sum", 2),
    "diffusion": lambda params, n_classes: ("table_sum", len(params.times)),
    "latent_gaussian": lambda params, n_classes: (
        ("table_sum", 1 if n_classes == len(SUPERCLASSES) else 2)
        if params.score == "energy"
        else ("squared_distance", 1)
    ),
    "quality": lambda params, n_classes: ("table_sum", 1),
}
"""How each family will be scored, given its parameters and the number of classes in distribution:
the constants are not known before it is trained, their size is."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the gates of a trial cost together.

    Parameters
    ----------
    n_parameters : of all gates; macs : multiply-accumulates of all gates' windows.
    figures : what may be an objective, by name: one for each of `REFERENCES`, which it equals for
        what is not to be had.
    excess : constraint -> how far above its bound, in parts of the bound; 0 and below is feasible.
    """

    n_parameters: int
    macs: int
    figures: dict[str, float]
    excess: dict[str, float]


def costs_of(candidates: Sequence[Candidate], settings: SweepSettings) -> Costs:
    """Return what candidates cost together; nothing is built.

    flash_bytes is that of the gates' blobs, and the constraints `flash` and `ram` are on the whole
    image without a diagnostic classifier.

    Raises
    ------
    ValueError : a window is too short for its network.
    """
    counts = [candidate.count(input_shape(candidate, settings)) for candidate in candidates]
    n_parameters = sum(count.n_parameters for count in counts)
    macs = sum(count.macs for count in counts)
    excess = {
        "parameters": n_parameters / settings.parameters_max - 1,
        "macs": macs / settings.macs_max - 1,
    }
    if max(excess.values()) > 0:
        return Costs(n_parameters, macs, dict(REFERENCES), excess)
    try:
        figures, on_board = _on_board(candidates, settings)
    except FirmwareError:
        return Costs(n_parameters, macs, dict(REFERENCES), {**excess, "firmware": 1.0})
    return Costs(n_parameters, macs, figures, {**excess, **on_board})


def _on_board(
    candidates: Sequence[Candidate], settings: SweepSettings
) -> tuple[dict[str, float], dict[str, float]]:
    """Return figures and excess on the board.

    Raises
    ------
    FirmwareError : the firmware would refuse a network.
    """
    model = _cost_model(settings.board)
    cost = model.cost(
        [_planned(candidate, settings) for candidate in candidates], fs=settings.data.fs_target
    )
    board = model.board
    figures = {
        "flash_bytes": float(sum(cost.blob_bytes)),
        "instructions_per_second": cost.per_ecg_second,
        "arena_bytes": float(cost.arena_bytes),
    }
    return figures, {
        "flash": cost.image_flash_bytes / board.flash_bytes - 1,
        "ram": cost.image_ram_bytes / board.ram_bytes - 1,
        "time": board.milliseconds(cost.per_ecg_second) / 1000 - 1,
    }


def _planned(candidate: Candidate, settings: SweepSettings) -> PlannedNetwork:
    graph = describe(candidate.module.network, candidate.params, input_shape(candidate, settings))
    rule, n_parts = score_form(candidate, len(settings.trained_classes))
    score = untrained_score(rule, graph.tensors[graph.output].n_bytes, n_parts)
    return plan_network(graph, settings.data.hop_len, score, settings.data.chain)


def score_form(candidate: Candidate, n_classes: int) -> ScoreForm:
    """Return how a candidate will be scored, trained on `n_classes` superclasses."""
    return SCORE_FORMS[candidate.detector](candidate.params, n_classes)


def input_shape(candidate: Candidate, settings: SweepSettings) -> tuple[int, int]:
    """Return (window_len, n_leads) of the candidate's windows."""
    return round(candidate.window_s * settings.data.fs_target), len(settings.data.leads)


@lru_cache(maxsize=1)
def _cost_model(board: str) -> CostModel:
    return load_cost_model(load_board(board))
