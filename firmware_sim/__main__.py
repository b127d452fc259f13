"""`python -m firmware_sim`: replay recordings through the firmware, prove parity, profile."""

import hashlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from datasets import (
    DATASETS,
    SPLITS,
    Candidate,
    Dataset,
    LeaveOneOut,
    RecordReader,
    leave_one_out,
    open_dataset,
)
from datasets.command_line import (
    App,
    CacheOption,
    CheckFailed,
    JsonOption,
    print_json,
    split_names,
)
from datasets.splits import check_split
from export.boards import Board, board_names, load_board
from export.bundle import Bundle, load_bundle
from export.core_fit import load_core_fits
from export.device.image import COMPILER, FirmwareImage, build_image

from .engines import BOARD, ENGINES, EngineOpener, open_engine
from .front_end import OpenRecord, Programme, fit_front_ends
from .parity import (
    Parity,
    check_golden,
    check_parity,
    check_programme,
    flip_weight_bit,
    golden_recordings,
)
from .replay import spread_evenly

app = App(
    "Replay recordings through the firmware, prove parity, count what a bundle costs on a board."
)

BundleArgument = Annotated[Path, typer.Argument(help="Bundle, build/NAME.")]
DatasetOption = Annotated[str | None, typer.Option(help=f"Data set: {', '.join(DATASETS)}.")]
DataOption = Annotated[
    str | None, typer.Option(help="Folder of the data set, required where it has one.")
]
LeadsOption = Annotated[
    str | None,
    typer.Option(help="Leads of the recordings in place of the bundle's, with commas between."),
]
MainsOption = Annotated[
    float | None, typer.Option(help="Take mains hum out of the recordings, at 50 or 60 Hz.")
]
SplitOption = Annotated[
    str | None,
    typer.Option(help=f"Records to use: {', '.join(SPLITS)}, or several with commas between."),
]
BoardOption = Annotated[
    str, typer.Option(help="Board to emulate; `python -m export boards` lists them.")
]
FilterOnlyOption = Annotated[
    bool,
    typer.Option("--filter-only", help="Without the classifier, for a board too small for it."),
]
ALL_BOARDS = "all"
REPORT_WIDTH = 110  # columns of a table that goes into a file


@app.command()
def replay(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    dataset: DatasetOption = None,
    data: DataOption = None,
    leads: LeadsOption = None,
    mains: MainsOption = None,
    split: SplitOption = "test",
    engine: Annotated[str, typer.Option(help=f"Engine: {', '.join(ENGINES)}.")] = "host",
    board: BoardOption = BOARD,
    records: Annotated[
        int | None,
        typer.Option(min=1, help="Replay this many records, spread evenly; default all."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the patient bootstrap.")] = 0,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay whole records through the firmware and write a report.

    Every record is played with the filter and, for comparison, to the classifier alone. Without
    --dataset, the data set is the one the bundle was made on. Recordings of another rate or gain
    than the bundle's sensor go through a signal chain of their own to the same networks; those
    that lack a lead are left out.

    Examples
    --------
    python -m firmware_sim replay build/demo --out build/report --engine qemu
    python -m firmware_sim replay build/hyp --data ~/ptbxl --split test --out build/report
    python -m firmware_sim replay build/hyp --dataset mitdb --data ~/mitdb --leads MLII --out r
    """
    from . import report as reports
    from .measures import measure
    from .replay import replay as play

    emulated, opener = load_board(board), open_engine(engine, board)  # before test is opened
    loaded = load_bundle(bundle)
    opened = _open(loaded, dataset, data, cache)
    protocol = _protocol(loaded, opened, split)
    record_ids = spread_evenly(_of_splits(protocol, split), records)
    open_record = _door(protocol)
    programme = _programme(loaded, open_record, record_ids, leads, mains)
    played = play(programme, open_record, opener)
    image = _image(programme.bundle, emulated)
    figures = measure(played, programme.bundle, emulated, image, seed)
    origin = reports.Provenance(
        dataset=opened.name,
        source=opened.source,
        split=split,
        leads=programme.leads,
        engine=f"{engine} ({board})" if engine == "qemu" else engine,
        command=shlex.join(["python", "-m", "firmware_sim", *sys.argv[1:]]),
        n_listed=opened.n_listed,
        n_absent=opened.n_absent,
        n_skipped=len(programme.skipped),
        notes=(*programme.remarks, *_notes(loaded, opened, split, image)),
    )
    page = reports.write_report(
        figures, played, programme.bundle, origin, lambda i: open_record(i, programme.leads), out
    )
    if as_json:
        print_json({"report": str(page), "n_skipped": origin.n_skipped, **figures.to_json()})
        return
    for card in reports.headlines(figures):
        print(f"{card.title:<42} {card.text:>10}   {' '.join(card.beside)}")
    print(f"report: {page}")


def _notes(
    bundle: Bundle, dataset: Dataset, split: str | None, image: FirmwareImage | None
) -> list[str]:
    """Return what a reader must know of the records beyond their number."""
    notes = []
    seen = {"train", "calibration"} & set(_splits(split))
    if seen and dataset.name == bundle.data.dataset:
        notes.append(
            f"The replayed records include those of {' and '.join(sorted(seen))}, on which this "
            "bundle was made: its figures can be better here than on new patients."
        )
    if dataset.name == bundle.data.dataset and dataset.fingerprint != bundle.data.fingerprint:
        notes.append(
            f"This {dataset.name} is not the one the bundle was made on: tables or settings differ."
        )
    if bundle.data.rehearsal and dataset.name == bundle.data.dataset:
        notes.append(
            "A rehearsal: the test records are a third of fold 9's patients, and fold 10 is left "
            "for the real test."
        )
    if image is None:
        notes.append(f"Flash and RAM are not known: {COMPILER} is not installed here.")
    return notes


def _image(bundle: Bundle, board: Board) -> FirmwareImage | None:
    """Build the board's image for its sizes; None without the cross compiler."""
    if shutil.which(COMPILER) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return build_image(bundle.filter_blob, bundle.classifier_blob, board, Path(folder))


@app.command()
def parity(
    bundle: BundleArgument,
    dataset: DatasetOption = None,
    data: DataOption = None,
    leads: LeadsOption = None,
    mains: MainsOption = None,
    split: SplitOption = None,
    windows: Annotated[int, typer.Option(min=1, help="Windows of the data set to compare.")] = 100,
    engines: Annotated[
        str, typer.Option(help="Engines to compare, with commas between; tflm is the reference.")
    ] = ",".join(ENGINES),
    board: Annotated[
        str,
        typer.Option(help="Boards for the engine qemu, with commas between, or all that fit: all."),
    ] = BOARD,
    filter_only: FilterOnlyOption = False,
    damage: Annotated[
        int | None,
        typer.Option(help="Flip a weight bit of this filter layer first: the check must fail."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare score bits and decisions of every engine: golden windows, then recorded ones.

    Of golden windows, the output of every layer is compared too. Exits 1 when an engine differs,
    and names the first window and layer, and when a board that was named is too small. Without
    --dataset, only golden windows are compared; without --split, recordings are taken from all
    over the data set.

    Examples
    --------
    python -m firmware_sim parity build/demo --dataset synthetic
    python -m firmware_sim parity build/hyp --dataset ptbxl --data ~/ptbxl --windows 1000
    python -m firmware_sim parity build/hyp --board qemu-m0,qemu-m55 --filter-only
    python -m firmware_sim parity build/hyp --damage 0
    """
    loaded = load_bundle(bundle)
    chosen = _engines(split_names(engines), split_names(board))
    altered = loaded if damage is None else flip_weight_bit(loaded, damage)
    n_golden = len(loaded.golden.adc_counts)
    compared = {
        "golden": check_parity(
            altered,
            golden_recordings(loaded),
            chosen,
            n_golden,
            layers=True,
            with_classifier=not filter_only,
        ),
    }
    if dataset is not None:
        opened = _open(loaded, dataset, data, cache)
        record_ids = spread_evenly(_record_ids(opened, split), windows)
        programme = _programme(altered, opened.open, record_ids, leads, mains)
        compared[dataset] = check_programme(
            programme, opened.open, chosen, windows, with_classifier=not filter_only
        )
    recorded = check_golden(loaded, chosen["tflm"])
    if as_json:
        results = {name: result.to_json() for name, result in compared.items()}
        print_json({**results, "golden.npz": recorded and asdict(recorded)})
    else:
        _print_parity(compared)
    found = [difference for result in compared.values() for difference in result.differences]
    if recorded is not None:
        found.append(recorded)
    too_small = [] if board == ALL_BOARDS else compared["golden"].refused.values()
    if found or too_small:
        raise CheckFailed("\n".join(map(str, [*found, *too_small])))


def _engines(names: Sequence[str], boards: Sequence[str]) -> dict[str, EngineOpener]:
    """Return the openers by name; the engine qemu is one for every board and bears its name."""
    wanted = board_names() if boards == (ALL_BOARDS,) else boards
    openers: dict[str, EngineOpener] = {}
    for name in names:
        if name == "qemu":
            openers |= {board: open_engine(name, board) for board in wanted}
        else:
            openers[name] = open_engine(name)
    return openers


def _programme(
    bundle: Bundle,
    open_record: OpenRecord,
    record_ids: list[str],
    leads: str | None,
    mains_hz: float | None,
) -> Programme:
    """Fit the bundle to the recordings, and say what that took."""
    names = None if leads is None else split_names(leads)
    programme = fit_front_ends(bundle, open_record, record_ids, names, mains_hz)
    for remark in programme.remarks:
        print(remark, file=sys.stderr)
    return programme


def _print_parity(compared: dict[str, Parity]) -> None:
    for board, why in compared["golden"].refused.items():
        print(f"{board}: not compared, {why}")
    for name, result in compared.items():
        for engine, n_equal in result.n_equal.items():
            print(
                f"{name}: {n_equal} of {result.n_windows} windows equal on {engine} and tflm "
                f"({result.n_rejected} rejected)"
            )


@app.command()
def profile(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="Folder for profile.html and profile.json.")],
    board: BoardOption = BOARD,
    filter_only: FilterOnlyOption = False,
    all_operators: Annotated[
        bool,
        typer.Option(
            "--all-operators",
            help="Link every operator, as for an image that takes other networks later.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count what a bundle costs on a board: instructions by layer and function, flash, RAM, stack.

    Counts and bytes are exact and the same in every run; milliseconds and microjoules are
    estimates. Exits 1 when the image does not fit the board, and says what is missing.

    Examples
    --------
    python -m firmware_sim profile build/demo --board qemu-m4 --out build/profile
    python -m firmware_sim profile build/demo --board qemu-m0 --filter-only --out build/profile
    """
    from rich.console import Console

    from .profile import measure_profile
    from .profile_page import profile_tables, write_profile

    measured = measure_profile(
        load_bundle(bundle), load_board(board), not filter_only, all_operators
    )
    page = write_profile(measured, out)
    if as_json:
        print_json({"page": str(page), **measured.to_json()})
        return
    Console(highlight=False, width=None if sys.stdout.isatty() else REPORT_WIDTH).print(
        profile_tables(measured)
    )
    print(f"profile: {page}")


@app.command()
def calibrate_cost(
    board: Annotated[
        str, typer.Option(help=f"Boards whose cores to fit, with commas between, or {ALL_BOARDS}.")
    ] = ALL_BOARDS,
    table: Annotated[
        Path | None, typer.Option(help="Page whose table of errors to renew, docs/cost.md.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the cost model to the kernels as they are: run networks on emulated cores and count.

    Writes export/costs/CORE.json, the same bytes in every run. Exits 1, nothing written, when a
    model is off by more than 5 % at the median or 15 % at most on networks it was not fitted on.

    Examples
    --------
    python -m firmware_sim calibrate-cost --table docs/cost.md
    python -m firmware_sim calibrate-cost --board qemu-m4,qemu-m55
    """
    from .cost_fit import calibrate, error_table, put_table

    fits = calibrate(board_names() if board == ALL_BOARDS else split_names(board))
    written = [str(fit.write()) for fit in fits]
    if table is not None:
        put_table(table, error_table(load_core_fits()))
    if as_json:
        print_json({"written": written, "cores": [fit.to_json() for fit in fits]})
        return
    print(error_table(fits))
    print(f"wrote {', '.join(written)}")


def _protocol(bundle: Bundle, dataset: Dataset, split: str | None) -> LeaveOneOut:
    """Return the protocol the bundle was made under, with test opened for it if `split` has that.

    Unseen records are among those of the test split alone.
    """
    rehearsal = bundle.data.rehearsal and dataset.name == bundle.data.dataset
    protocol = leave_one_out(dataset, bundle.data.hold_out, rehearsal=rehearsal)
    if "test" not in _splits(split):
        return protocol
    shipped = hashlib.sha256(bundle.filter_blob + bundle.classifier_blob).hexdigest()
    return protocol.opened_for(Candidate(bundle.path.name, shipped))


def _of_splits(protocol: LeaveOneOut, split: str | None) -> list[str]:
    return [record_id for name in _splits(split) for record_id in protocol.of_split(name)]


def _splits(split: str | None) -> list[str]:
    return list(dict.fromkeys(split_names(split or ",".join(SPLITS))))


def _door(protocol: LeaveOneOut) -> OpenRecord:
    """Return what opens a record under the role the protocol gives it."""

    def open_record(record_id: str, leads: Sequence[str]) -> RecordReader:
        role = protocol.role_of(record_id)
        if role is None:
            raise ValueError(f"record {record_id} must have a role to be replayed, it has none")
        return protocol.open(record_id, role, leads)

    return open_record


def _record_ids(dataset: Dataset, split: str | None) -> list[str]:
    """Return the records of `split`, which may name several with commas between.

    For parity, which compares bits and looks at no label, so it needs no protocol.
    """
    if split is None:
        return dataset.record_ids()
    return [i for name in _splits(split) for i in dataset.record_ids(check_split(name))]


def _open(bundle: Bundle, dataset: str | None, data: str | None, cache: Path | None) -> Dataset:
    """Open the data set asked for, at the rate of the bundle's sensor or training if it has that.

    By default it is the one the bundle was trained on.
    """
    name = dataset or bundle.data.dataset
    if data is None and name == bundle.data.dataset:
        data = bundle.data.data
    rates = DATASETS[name].fs if name in DATASETS else ()
    known = [fs for fs in (bundle.chain.fs, bundle.data.fs) if fs in rates]
    return open_dataset(name, data, known[0] if known else None, cache)


if __name__ == "__main__":
    app()
