"""Options that commands of `python -m nas` share."""

from pathlib import Path
from typing import Annotated

import typer

from datasets import DATASETS

DatasetOption = Annotated[str, typer.Option(help=f"Data set: {', '.join(DATASETS)}.")]
DataOption = Annotated[str | None, typer.Option(help="Folder the data set was downloaded to.")]
LeadsOption = Annotated[str, typer.Option(help="Lead names with commas between, such as I,II.")]
HoldOutOption = Annotated[
    str | None, typer.Option(help="Superclass that training never sees; default none.")
]
RehearsalOption = Annotated[
    bool, typer.Option("--rehearsal", help="Test on a third of fold 9; fold 10 stays untouched.")
]
RunOption = Annotated[Path, typer.Option(help="Folder of the run, such as runs/NAME.")]
SeedOption = Annotated[int, typer.Option(help="Same seed, same weights.")]
FsOption = Annotated[float, typer.Option(help="Sample rate of the recordings in Hz.")]
FsTargetOption = Annotated[
    float, typer.Option(help="Sample rate of the networks in Hz; the signal chain resamples to it.")
]
MainsOption = Annotated[
    float | None, typer.Option(help="Take out mains hum at 50 or 60 Hz; default no notch.")
]
HighpassOption = Annotated[
    float, typer.Option(help="Corner of the high-pass in Hz, 0.05 to 0.5 in ECG practice.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Train again where the run is finished.")
]
