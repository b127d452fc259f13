"""Cells of the parity matrix: one bundle on this machine or one board, against TFLite Micro."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from datasets import Dataset
from export.boards import Board, load_board
from export.bundle import Bundle
from export.device.image import REGION_BYTES, OverBudget, build_image, objects_sha256
from export.native import build_library
from firmware_sim.engines import ENGINES, Engine, open_engine
from firmware_sim.front_end import Programme, fit_front_ends
from firmware_sim.parity import REFERENCE, check_parity, check_programme, golden_recordings
from firmware_sim.replay import spread_evenly

HOST = "host"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recordings:
    """Where windows come from; `leads` take the place of the bundle's, None for the same."""

    dataset: Dataset
    leads: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What came out for one family on one target.

    Parameters
    ----------
    n_windows, n_equal : recorded windows compared, and equal; 0 where no image fits the board.
    n_golden, n_golden_equal : golden windows, equal in the output of every layer too.
    n_rejected : of the recorded ones, by the gate.
    refusals : why the image with the classifier does not fit, then why that of the filter alone
        does not; one of them = the filter ran alone.
    instructions : of the filter a decision, median over recordings that last; None where there are
        none or the target does not count.
    differences : the first window that is unequal, of each kind.
    """

    n_windows: int = 0
    n_equal: int = 0
    n_golden: int = 0
    n_golden_equal: int = 0
    n_rejected: int = 0
    refusals: tuple[str, ...] = ()
    instructions: float | None = None
    differences: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether every window was, or there was nothing to run."""
        return (self.n_equal, self.n_golden_equal) == (self.n_windows, self.n_golden)

    def __str__(self) -> str:
        if len(self.refusals) == 2:
            both, alone = self.refusals
            return f"refused: {alone} missing for the filter alone, {both} with the classifier"
        said = f"{self.n_equal:,} of {self.n_windows:,}"
        if not self.is_equal:
            said = f"**{said}**, golden {self.n_golden_equal} of {self.n_golden}"
        if self.refusals:
            said += f", filter alone: {self.refusals[0]} missing for both"
        return said


def measure_cells(
    bundle: Bundle,
    n_windows: Mapping[str, int],
    recordings: Sequence[Recordings],
    kept: Path,
) -> dict[str, Cell]:
    """Return a cell for every target, `HOST` or a board.

    Parameters
    ----------
    n_windows : by target, how many windows of each of the recordings to compare.
    kept : JSON file of finished cells. One is taken from it as long as bundle, recordings, number
        of windows and the firmware with its compiler flags are the same.
    """
    keys = {target: _key(bundle, target, n, recordings) for target, n in n_windows.items()}
    cells = {t: (key, cell) for t, (key, cell) in _load(kept).items() if key == keys.get(t)}
    missing = sorted(set(keys) - set(cells), key=lambda t: (n_windows[t], t))
    for n, group in groupby(missing, key=lambda t: n_windows[t]):
        found = _measure(bundle, list(group), recordings, n)
        cells |= {target: (keys[target], cell) for target, cell in found.items()}
        _save(kept, cells)
    return {target: cells[target][1] for target in n_windows}


def _measure(
    bundle: Bundle, targets: Sequence[str], recordings: Sequence[Recordings], n_windows: int
) -> dict[str, Cell]:
    """Measure targets with the classifier, and those too small for it with the filter alone."""
    programmes = [_programme(bundle, source, n_windows) for source in recordings]
    largest = max((p.bundle for p in programmes), key=lambda b: b.manifest["arena_bytes"])
    refusals = {target: _refusals(largest, target) for target in targets}
    cells = {}
    for n_refusals, with_classifier in enumerate((True, False)):
        fitting = [target for target in targets if len(refusals[target]) == n_refusals]
        if fitting:
            cells |= _compare(bundle, programmes, recordings, fitting, n_windows, with_classifier)
    nothing_ran = Cell()
    return {t: replace(cells.get(t, nothing_ran), refusals=refusals[t]) for t in targets}


def _programme(bundle: Bundle, source: Recordings, n_windows: int) -> Programme:
    ids = spread_evenly(source.dataset.record_ids(), n_windows)
    return fit_front_ends(bundle, source.dataset.open, ids, source.leads)


def _refusals(bundle: Bundle, target: str) -> tuple[str, ...]:
    """Return why the image with the classifier is refused, and that without; none = it fits."""
    found = []
    for with_classifier in (True, False) if target != HOST else ():
        refusal = budget_refusal(bundle, load_board(target), with_classifier)
        if refusal is None:
            break
        found.append(refusal)
    return tuple(found)


def budget_refusal(bundle: Bundle, board: Board, with_classifier: bool) -> str | None:
    """Return what the budget check finds missing for an image of `bundle`, None where it fits."""
    classifier = bundle.classifier_blob if with_classifier else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            build_image(bundle.filter_blob, classifier, board, Path(folder))
        except OverBudget:
            # It stops at the first shortage, often before linking: this is all that is missing.
            roomy = replace(board, flash_bytes=REGION_BYTES, ram_bytes=REGION_BYTES)
            image = build_image(bundle.filter_blob, classifier, roomy, Path(folder))
            short = {
                "flash": image.flash_bytes - board.flash_bytes,
                "RAM": image.ram_bytes - board.ram_bytes,
            }
            return " and ".join(f"{n:,} bytes of {name}" for name, n in short.items() if n > 0)
    return None


def _compare(
    bundle: Bundle,
    programmes: Sequence[Programme],
    recordings: Sequence[Recordings],
    targets: Sequence[str],
    n_windows: int,
    with_classifier: bool,
) -> dict[str, Cell]:
    """Compare targets that fit on the golden windows and on every programme."""
    watched = {target: _Watched(target) for target in targets}
    engines = {REFERENCE: ENGINES[REFERENCE], **watched}
    n_golden = len(bundle.golden.adc_counts)
    golden = check_parity(
        bundle, golden_recordings(bundle), engines, n_golden, True, with_classifier
    )
    recorded, instructions = [], dict.fromkeys(targets, None)
    for programme, source in zip(programmes, recordings, strict=True):
        result = check_programme(
            programme, source.dataset.open, engines, n_windows, with_classifier
        )
        recorded.append(result)
        if n_windows > 10 * sum(len(part.n_windows) for part in programme.parts):
            instructions = {target: engine.median_gate() for target, engine in watched.items()}
    return {
        target: Cell(
            n_windows=sum(result.n_windows for result in recorded),
            n_equal=sum(result.n_equal[target] for result in recorded),
            n_golden=golden.n_windows,
            n_golden_equal=golden.n_equal[target],
            n_rejected=sum(result.n_rejected for result in recorded),
            instructions=instructions[target],
            differences=tuple(
                str(d) for r in (golden, *recorded) for d in r.differences if d.engine == target
            ),
        )
        for target in targets
    }


class _Watched:
    """Opens an engine and keeps it: what it counted is there after it was closed."""

    def __init__(self, target: str) -> None:
        self._open = open_engine(HOST) if target == HOST else open_engine("qemu", target)
        self._engine: Engine | None = None

    def __call__(
        self, bundle: Bundle, with_filter: bool = True, with_classifier: bool = True
    ) -> AbstractContextManager[Engine]:
        self._engine = self._open(bundle, with_filter, with_classifier)
        return self._engine

    def median_gate(self) -> float | None:
        """Return the filter's instructions a decision when it was last open, None uncounted."""
        counts = self._engine.instructions()
        return None if counts is None else float(np.median(counts.gate))


def _key(bundle: Bundle, target: str, n_windows: int, recordings: Sequence[Recordings]) -> str:
    """Return the hash of all that a cell depends on but the reference itself."""
    firmware = build_library().name if target == HOST else objects_sha256(load_board(target))
    files = {name: sha for name, sha in bundle.manifest["files"].items() if name[0].islower()}
    sources = [(s.dataset.name, s.dataset.fingerprint, s.leads) for s in recordings]
    subject = [FORMAT, target, n_windows, firmware, files, sources]
    return hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()


def _load(kept: Path) -> dict[str, tuple[str, Cell]]:
    if not kept.exists():
        return {}
    rows: dict[str, dict[str, Any]] = json.loads(kept.read_text())
    tuples = ("refusals", "differences")
    return {
        target: (
            row["key"],
            Cell(**{n: tuple(v) if n in tuples else v for n, v in row["cell"].items()}),
        )
        for target, row in rows.items()
    }


def _save(kept: Path, cells: dict[str, tuple[str, Cell]]) -> None:
    rows = {target: {"key": key, "cell": asdict(cell)} for target, (key, cell) in cells.items()}
    temporary = kept.with_suffix(".tmp")
    temporary.write_text(json.dumps(rows, indent=1) + "\n")
    temporary.replace(kept)
