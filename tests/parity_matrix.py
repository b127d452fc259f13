"""`python -m tests.parity_matrix`: every family on every board decides as TFLite Micro, to the bit.

    python -m tests.parity_matrix --data ~/data --page docs/parity.md
    python -m tests.parity_matrix --detectors deep_svdd,flow --windows 20

`--data` holds ptbxl/ and mitdb/. For every family: trains its default on lead I of PTB-XL, makes a
bundle with one classifier for all, and compares this machine and all boards with TFLite Micro.
Without `--data`, simulated recordings take the place of both. Exits 1 where a window differs.
What is finished stays in `--work`; the same command goes on.
"""

import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from datasets import open_dataset
from datasets.command_line import split_names
from export.boards import board_names
from export.bundle import load_bundle
from firmware_sim.cost_fit import put_table
from firmware_sim.engines import BOARD
from tests.parity_cells import HOST, Cell, Recordings, measure_cells

FAMILIES = (
    *("deep_svdd", "autoencoder", "vae", "masked"),
    *("flow", "diffusion", "latent_gaussian", "quality"),
)
"""`nas.detectors.DETECTORS`, which loads Keras; a test holds the two equal."""

HOLD_OUT = "HYP"
REFUSED = "int8 filter of"
"""How `export.pack` begins to say that int8 ranks windows otherwise than the float network."""


@dataclass(frozen=True, slots=True)
class Demand:
    """How many windows of each of the recordings to compare.

    Parameters
    ----------
    n_windows : in every cell but those of the family `winner` on this machine and on the Cortex-M4.
    n_winner : in those two.
    """

    n_windows: int
    winner: str
    n_winner: int

    def of(self, family: str, target: str) -> int:
        """Return the windows that a cell compares."""
        if family == self.winner and target in (HOST, BOARD):
            return self.n_winner
        return self.n_windows


@dataclass(frozen=True, slots=True)
class Row:
    """One family: its manifest and cells, or why there is no bundle of it."""

    family: str
    manifest: dict[str, Any] | None = None
    cells: dict[str, Cell] | None = None
    no_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where runs, bundles and cells lie, and what the networks are trained on.

    Parameters
    ----------
    work : a folder a family, and one of the classifier.
    data : folder with ptbxl/ and mitdb/, None for simulated recordings.
    epochs : of the filters. filters : a benchmark's --work, whose networks of lead I are taken.
    """

    work: Path
    data: Path | None
    epochs: int
    filters: Path | None

    @property
    def source(self) -> list[str]:
        """Options of every command that opens the recordings."""
        return [] if self.data is None else ["--data", str(self.data / "ptbxl")]

    @property
    def recordings(self) -> tuple[Recordings, ...]:
        """What windows are compared: each of another record, and many of long ones."""
        if self.data is None:
            return (Recordings(open_dataset("synthetic")),)
        return (
            Recordings(open_dataset("ptbxl", str(self.data / "ptbxl"), 100.0)),
            Recordings(open_dataset("mitdb", str(self.data / "mitdb")), ("MLII",)),
        )

    def train(self, part: str, row: str, run: Path, *options: str) -> None:
        """Train "filter" or "classifier" into `run`, or take it from the benchmark's `row`."""
        if (run / f"{part}.json").exists():
            return
        found = [] if self.filters is None else sorted(self.filters.glob(f"{row}-{HOLD_OUT}-I-0-*"))
        trained = [folder for folder in found if (folder / f"{part}.json").exists()]
        if len(trained) > 1:
            raise ValueError(f"{self.filters} must hold one {part} of {row}, has {len(trained)}")
        if trained:
            take(part, trained[0], run)
            return
        name = "synthetic" if self.data is None else "ptbxl"
        command = ["nas", "train" if part == "filter" else "classifier", "--run", str(run)]
        command += ["--dataset", name, *self.source, "--leads", "I", "--hold-out", HOLD_OUT]
        call(*command, "--rehearsal", *options)


def take(part: str, source: Path, run: Path) -> None:
    """Copy a trained part into another run, its JSON last: what has that is finished."""
    run.mkdir(parents=True, exist_ok=True)
    for suffix in ("keras", "json"):
        shutil.copyfile(source / f"{part}.{suffix}", run / f"{part}.{suffix}")


def call(*arguments: str) -> None:
    """Run one of our commands in a process of its own; its error is ours.

    Raises
    ------
    ValueError : it did not exit 0; the text is its last line.
    """
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise ValueError(result.stderr.strip().rpartition("\n")[2].removeprefix("error: "))


def make_row(family: str, place: Workplace, demand: Demand) -> Row:
    """Train, bundle and compare one family."""
    folder = place.work / family
    run, bundle = folder / "run", folder / "bundle"
    if not (bundle / "manifest.json").exists():
        options = ("--detector", family, "--epochs", str(place.epochs))
        place.train("filter", family, run, *options)
        take("classifier", place.work / "classifier", run)
        try:
            call("export", "bundle", str(run), "--out", str(bundle), *place.source)
        except ValueError as error:
            if not str(error).startswith(REFUSED):
                raise
            return Row(family, no_bundle=str(error).replace(f" of {run}", ""))
    loaded = load_bundle(bundle)
    n_windows = {target: demand.of(family, target) for target in (HOST, *board_names())}
    cells = measure_cells(loaded, n_windows, place.recordings, folder / "cells.json")
    return Row(family, loaded.manifest, cells)


def equality_table(rows: list[Row]) -> str:
    """Return the windows that were equal, a row a family and a column a target, in Markdown."""
    targets = [HOST, *board_names()]
    lines = [f"| family | {' | '.join(targets)} |", "|---" * (len(targets) + 1) + "|"]
    for row in rows:
        said = ["no bundle"] * len(targets)
        if row.cells is not None:
            said = [str(row.cells[target]) for target in targets]
        lines.append(f"| `{row.family}` | {' | '.join(said)} |")
    return "\n".join(lines)


def filter_table(rows: list[Row]) -> str:
    """Return what the filters are and what a decision costs on each core, in Markdown."""
    boards = [name for name in board_names() if not name.endswith("-soft")]
    head = ["family", "parameters", "blob, bytes", "runs", "int8 ranks", *boards]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        if row.manifest is None or row.cells is None:
            lines.append(f"| `{row.family}` | {row.no_bundle} |" + " |" * (len(head) - 2))
            continue
        made = row.manifest["filter"]
        fields = [
            f"`{row.family}`",
            f"{made['cost']['n_parameters']:,}",
            f"{made['cost']['blob_bytes']:,}",
            made["execution"],
            f"{made['spearman_int8_float']:.3f}",
            *(_thousands(row.cells[board].instructions) for board in boards),
        ]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


def _thousands(instructions: float | None) -> str:
    return "-" if instructions is None else f"{instructions / 1e3:,.0f}"


def main(
    data: Annotated[Path | None, typer.Option(help="Folder with ptbxl/ and mitdb/.")] = None,
    work: Annotated[Path, typer.Option(help="Runs, bundles and finished cells.")] = Path(
        "build/parity"
    ),
    windows: Annotated[int, typer.Option(min=1, help="Of each data set, on each board.")] = 200,
    winner: Annotated[str, typer.Option(help="Family to compare on more windows.")] = "deep_svdd",
    winner_windows: Annotated[
        int | None, typer.Option(min=1, help="On this machine and the Cortex-M4; default the same.")
    ] = None,
    detectors: Annotated[str, typer.Option(help="Families, with commas between.")] = ",".join(
        FAMILIES
    ),
    epochs: Annotated[
        int, typer.Option(min=1, help="Of a filter: parity does not hang on its quality.")
    ] = 2,
    filters: Annotated[
        Path | None, typer.Option(help="Take the networks a benchmark trained, its --work.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Families at a time.")] = 1,
    page: Annotated[Path | None, typer.Option(help="Page whose tables to renew.")] = None,
) -> None:
    """Make the parity matrix and print it."""
    place = Workplace(work, data, epochs, filters)
    demand = Demand(windows, winner, winner_windows or windows)
    place.train("classifier", "baselines", work / "classifier")
    make = partial(make_row, place=place, demand=demand)
    with ProcessPoolExecutor(jobs) as pool:
        rows = list(pool.map(make, split_names(detectors)))
    for table in (equality_table(rows), filter_table(rows)):
        print(table, end="\n\n")
        if page is not None:
            put_table(page, table)
    cells = [(row.family, t, cell) for row in rows for t, cell in (row.cells or {}).items()]
    unequal = [(family, t, cell) for family, t, cell in cells if not cell.is_equal]
    for family, target, cell in unequal:
        print(f"{family} on {target}: {'; '.join(cell.differences)}")
    n_compared = sum(cell.n_windows for _, _, cell in cells)
    print(f"{n_compared:,} windows compared, {len(unequal)} of {len(cells)} cells unequal")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    typer.run(main)
