"""A core's cost model: networks run on the emulated core, coefficients that explain their counts.

Least squares with no negative coefficient, every layer weighted by its own size, so that errors are
relative (Lawson, Hanson, *Solving Least Squares Problems*, 1974, chapter 23). All of it follows
from seeds and counted instructions: the same sources and compiler give the same file.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from datasets.command_line import CheckFailed
from datasets.progress import progress
from datasets.records import FloatArray
from export.boards import Board, board_names, load_board
from export.core_fit import CoreFit, Errors, ImageBase, core_of
from export.cost import CostModel, PlannedNetwork
from export.cost_features import Counts, all_names
from export.device.code import measure_code
from export.device.image import COMPILER, objects_sha256

from .cost_board import Measured, measure
from .cost_networks import fitting_networks, testing_networks

MEDIAN_MAX, WORST_MAX = 0.05, 0.15
"""Errors up to which a model is worth having."""
FLOOR = 300.0
"""Instructions that count for nothing in a layer's error."""
DIGITS = 6
"""Of a coefficient, so that its last bits do not depend on this machine's linear algebra."""
WHOLE, STREAM = "whole windows", "along the stream"


def calibrate(names: Sequence[str]) -> list[CoreFit]:
    """Return the cost models of some boards' cores, each with all boards of the core.

    Raises
    ------
    CheckFailed, ValueError : as `fit_core`.
    """
    by_core: dict[str, list[Board]] = {}
    for board in map(load_board, board_names()):
        by_core.setdefault(core_of(board), []).append(board)
    cores = dict.fromkeys(core_of(load_board(name)) for name in names)
    fits = []
    with progress("Running networks", total=1 + len(cores)) as advance:
        fitting, testing = fitting_networks(), testing_networks()
        for core in cores:
            advance(note=core)
            fits.append(fit_core(by_core[core], fitting, testing))
    return fits


def fit_core(
    boards: Sequence[Board],
    fitting: Sequence[PlannedNetwork],
    testing: Sequence[PlannedNetwork],
) -> CoreFit:
    """Return the cost model of a core.

    Parameters
    ----------
    boards : of that core; the first one is emulated.
    fitting, testing : networks of `firmware_sim/cost_networks.py`.

    Raises
    ------
    CheckFailed : it is off by more than `MEDIAN_MAX` or `WORST_MAX` on the networks for testing.
    ValueError : compiler or QEMU are missing.
    """
    board = boards[0]
    measured = measure([*fitting, *testing], board)
    counts, instructions = _rows(fitting, measured[: len(fitting)])
    coefficients = _solve(counts, instructions)
    fit = CoreFit(
        core=core_of(board),
        flags=board.compiler_flags,
        compiler=_compiler(),
        n_runs=len(fitting),
        n_rows=len(counts),
        errors={},
        images={each.name: ImageBase(measure_code(each), objects_sha256(each)) for each in boards},
        coefficients=coefficients,
    )
    errors = _errors(CostModel(board, fit, None), testing, measured[len(fitting) :])
    _require(fit.core, errors)
    return CoreFit(**{name: getattr(fit, name) for name in CoreFit.__slots__} | {"errors": errors})


def _rows(
    networks: Sequence[PlannedNetwork], measured: Sequence[Measured]
) -> tuple[list[Counts], FloatArray]:
    """Return what was done and what it took: of every layer, and of decisions around them."""
    counts, instructions = [], []
    for network, took in zip(networks, measured, strict=True):
        layers, rest = network.work
        counts += [*layers, rest]
        instructions += [*took.layers, took.decision - sum(took.layers)]
    return counts, np.array(instructions)


def _solve(counts: Sequence[Counts], instructions: FloatArray) -> dict[str, float]:
    names = all_names(counts)
    table = np.array([[each.get(name, 0) for name in names] for each in counts], np.float64)
    weights = 1 / (np.maximum(instructions, 0) + FLOOR)
    weighted = table * weights[:, np.newaxis]
    sizes = np.sqrt((weighted**2).sum(axis=0))  # columns of one size: better conditioned
    solution, _ = nnls(weighted / sizes, instructions * weights)
    found = zip(names, solution / sizes, strict=True)
    return {name: float(f"{value:.{DIGITS}g}") for name, value in found if value > 0}


def _errors(
    model: CostModel, networks: Sequence[PlannedNetwork], measured: Sequence[Measured]
) -> dict[str, Errors]:
    found: dict[str, list[float]] = {WHOLE: [], STREAM: []}
    for network, took in zip(networks, measured, strict=True):
        error = abs(model.estimate(network).per_window / took.decision - 1)
        found[WHOLE if network.stream is None else STREAM].append(error)
    return {
        name: Errors(
            n=len(errors),
            median=round(float(np.median(errors)), 4),
            p90=round(float(np.quantile(errors, 0.9)), 4),
            worst=round(max(errors), 4),
        )
        for name, errors in found.items()
    }


def _require(core: str, errors: Mapping[str, Errors]) -> None:
    for name, error in errors.items():
        if error.median > MEDIAN_MAX or error.worst > WORST_MAX:
            raise CheckFailed(
                f"the cost model of {core} must be off by {MEDIAN_MAX:.0%} at the median and "
                f"{WORST_MAX:.0%} at most, is by {error.median:.1%} and {error.worst:.1%} "
                f"{name}: its kernels do work that export/cost_features.py does not count"
            )


def _compiler() -> str:
    command = [COMPILER, "-dumpfullversion"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return f"{COMPILER} {listing.strip()}"


def error_table(fits: Sequence[CoreFit]) -> str:
    """Return the errors of some cores as a table in Markdown."""
    head = "| core | networks run | n | median | 90 % within | worst |"
    lines = [head, "|---|---|---|---|---|---|"]
    for fit in fits:
        lines += [
            f"| {fit.core} | {name} | {error.n} | {error.median:.1%} | {error.p90:.1%} "
            f"| {error.worst:.1%} |"
            for name, error in fit.errors.items()
        ]
    return "\n".join(lines)


def put_table(page: Path, table: str) -> None:
    """Replace the table in a page of the documentation.

    Raises
    ------
    ValueError : the page has no such table.
    """
    lines, head = page.read_text().splitlines(), table.splitlines()[0]
    if head not in lines:
        raise ValueError(f"{page} must have a table headed {head!r}, it has none")
    first = last = lines.index(head)
    while last < len(lines) and lines[last].startswith("|"):
        last += 1
    page.write_text("\n".join([*lines[:first], table, *lines[last:]]) + "\n")
