"""`python -m datasets`: what data sets there are, and what a recording looks like."""

from pathlib import Path
from typing import Annotated

import typer

from . import DATASETS, open_dataset
from .command_line import App, CacheOption, JsonOption, print_json, split_names

app = App("Recordings: which data sets there are, and a look at one record.")


@app.command("list")
def list_datasets(as_json: JsonOption = False) -> None:
    """List the data sets: leads, rates, size, licence, citation.

    Examples
    --------
      python -m datasets list
      python -m datasets list --json
    """
    cards = [
        {
            "name": card.name,
            "about": card.about,
            "leads": list(card.leads),
            "fs": list(card.fs),
            "size": card.size,
            "licence": card.licence,
            "citation": card.citation,
        }
        for card in DATASETS.values()
    ]
    if as_json:
        print_json({"datasets": cards})
        return
    for card in DATASETS.values():
        rates = " or ".join(f"{fs:g}" for fs in card.fs)
        print(f"{card.name}: {card.about}")
        print(f"    {card.size}; {rates} Hz; leads {' '.join(card.leads)}")
        print(f"    licence: {card.licence}")
        print(f"    {card.citation}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Data set, as `list` names it.")],
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="Id of the record.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    data: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    leads: Annotated[str | None, typer.Option(help="Such as I,II,V5; default all.")] = None,
    fs: Annotated[float, typer.Option(help="Sample rate in Hz.")] = 100.0,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw one record on ECG paper, as one self-contained HTML file.

    Examples
    --------
      python -m datasets show synthetic 00003 --out build/record.html
      python -m datasets show ptbxl 1 --data DIR --leads I,II,V5 --out build/record.html
    """
    dataset = open_dataset(name, data, fs, cache)
    record = dataset.load(record_id, split_names(leads) if leads else None)
    from .ecg_paper import record_page

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(record_page(record), encoding="utf-8")
    if as_json:
        print_json(
            {
                "record": record.record_id,
                "subject": record.subject_id,
                "fs": record.fs,
                "leads": list(record.leads),
                "superclasses": sorted(record.superclasses),
                "noise_flags": sorted(record.noise_flags),
                "out": str(out),
            }
        )
    else:
        print(f"wrote {out}")


if __name__ == "__main__":
    app()
