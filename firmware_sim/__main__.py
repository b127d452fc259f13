"""`python -m firmware_sim`: replay recordings through the firmware; prove that engines agree."""

from pathlib import Path
from typing import Annotated

import typer

from datasets import DATASETS, SPLITS, Dataset, open_dataset
from datasets.command_line import App, CheckFailed, print_json
from export.bundle import Bundle, load_bundle

from .engines import ENGINES, open_engine

app = App("Replay recordings through the firmware, and prove that every engine decides alike.")

BundleArgument = Annotated[Path, typer.Argument(help="Bundle, build/NAME.")]
DatasetOption = Annotated[
    str | None, typer.Option(help=f"Data set: {', '.join(DATASETS)}; default the bundle's own.")
]
DataOption = Annotated[
    str | None, typer.Option(help="Folder of the data set; default where the bundle's was.")
]
SplitOption = Annotated[
    str | None, typer.Option(help=f"Records to use: {', '.join(SPLITS)}; default all of them.")
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for the cache of signals; default beside the data.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command()
def parity(
    bundle: BundleArgument,
    dataset: DatasetOption = None,
    data: DataOption = None,
    split: SplitOption = None,
    windows: Annotated[int, typer.Option(help="Windows of the data set to compare.")] = 100,
    engines: Annotated[
        str, typer.Option(help="Engines to compare, with commas between; tflm is the reference.")
    ] = ",".join(ENGINES),
    damage: Annotated[
        int | None,
        typer.Option(help="Flip a weight bit of this filter layer first: the check must fail."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare score bits and decisions of every engine: golden windows, then recorded ones.

    Exits 1 when an engine differs, and names the first window and layer. Without --dataset, only
    the golden windows are compared.

    Examples
    --------
    python -m firmware_sim parity build/demo --dataset synthetic
    python -m firmware_sim parity build/hyp --dataset ptbxl --data ~/ptbxl --windows 1000
    python -m firmware_sim parity build/hyp --damage 0
    """
    from .parity import check_parity, dataset_recordings, golden_recordings
    from .parity import damage as flip_bit

    loaded = load_bundle(bundle)
    chosen = {name: open_engine(name) for name in engines.split(",")}
    altered = loaded if damage is None else flip_bit(loaded, damage)
    compared = {
        "golden": check_parity(
            altered, golden_recordings(loaded), chosen, len(loaded.golden.scores)
        )
    }
    if dataset is not None:
        opened = _open(loaded, dataset, data, cache)
        recordings = dataset_recordings(loaded, opened, opened.record_ids(split), windows)
        compared[dataset] = check_parity(altered, recordings, chosen, windows)
    if as_json:
        print_json({name: result.to_json() for name, result in compared.items()})
    failed = []
    for name, result in compared.items():
        for engine, n_equal in result.n_equal.items():
            if not as_json:
                print(
                    f"{name}: {n_equal} of {result.n_windows} windows equal on {engine} and tflm "
                    f"({result.n_rejected} rejected)"
                )
        failed += [
            f"{d.engine} differs from tflm first at {d.window}: {d.layer}; "
            f"scores {d.found.scores if d.found else 'none'} instead of {d.expected.scores}"
            for d in result.differences
        ]
    if failed:
        raise CheckFailed("\n".join(failed))


def _open(bundle: Bundle, dataset: str | None, data: str | None, cache: Path | None) -> Dataset:
    """Open the data set asked for, at the bundle's rate; by default the one it was trained on."""
    name = dataset or bundle.data.dataset
    if data is None and name == bundle.data.dataset:
        data = bundle.data.data
    return open_dataset(name, data, bundle.data.fs, cache)


if __name__ == "__main__":
    app()
