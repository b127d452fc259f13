"""`python -m datasets`: what data sets there are, and what a recording looks like."""

from pathlib import Path
from typing import Annotated

import typer

from . import DATASETS, open_dataset
from .command_line import App, CacheOption, CheckFailed, JsonOption, print_json, split_names
from .drawing import check_suffix, write_drawing
from .ecg_paper import excerpt_json, take_excerpt, with_fault
from .faults import FAULTS, NOISE_FAULTS
from .physionet import LAYOUTS, Patience, fetch, layout_of, source_of, verify
from .physionet.report import (
    fetchable_json,
    fetchable_text,
    fetched_complaint,
    fetched_json,
    fetched_text,
    verified_complaint,
    verified_json,
    verified_text,
)
from .protocol_table import DISEASES, protocol_rows, protocol_text

app = App("Recordings: fetch and verify, look at, convert, and split them.")


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
            "fetch": fetchable_json(LAYOUTS[card.name]) if card.name in LAYOUTS else None,
        }
        for card in DATASETS.values()
    ]
    if as_json:
        print_json({"datasets": cards})
        return
    for card in DATASETS.values():
        rates = " or ".join(f"{fs:g}" for fs in card.fs) or "any"
        leads = " ".join(card.leads) or "as they are"
        print(f"{card.name}: {card.about}")
        print(f"    {card.size}; {rates} Hz; leads {leads}")
        print(f"    licence: {card.licence}")
        print(f"    {card.citation}")
        if card.name in LAYOUTS:
            print(f"    {fetchable_text(LAYOUTS[card.name])}")


@app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(LAYOUTS)}.")],
    dest: Annotated[Path, typer.Option(help="Folder for it; what is there and whole stays.")],
    fs: Annotated[str | None, typer.Option(help="ptbxl: 100 (default), 500 or both.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="A mirror's address or a local copy's folder.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Connections at a time, 1-32.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Fetch a data set from PhysioNet, every file checked; again, to go on or to repair.

    Exits 1 where files do not match the data set's SHA256SUMS.txt.

    Examples
    --------
    python -m datasets fetch ptbxl --dest ~/ptbxl
    python -m datasets fetch ptbxl --dest ~/ptbxl --fs both --jobs 4
    python -m datasets fetch mitdb --dest ~/mitdb --base-url /media/usb/mitdb
    """
    layout = layout_of(name)
    rates = layout.chosen_rates(fs)
    patience = Patience()
    source = source_of(base_url or layout.url, jobs, patience)
    fetched = fetch(layout, rates, dest, source, jobs, patience)
    if as_json:
        print_json(fetched_json(layout, rates, dest, fetched))
    if fetched.bad:
        raise CheckFailed(fetched_complaint(fetched))
    if not as_json:
        print(fetched_text(layout, rates, dest, fetched))


@app.command("verify")
def verify_dataset(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(LAYOUTS)}.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")],
    fs: Annotated[
        str | None, typer.Option(help="ptbxl: 100, 500 or both; default what is there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte of a fetched data set against its SHA256SUMS.txt.

    Exits 1 where files are missing or wrong, and lists them all.

    Examples
    --------
    python -m datasets verify ptbxl ~/ptbxl
    python -m datasets verify butqdb ~/butqdb --json
    """
    layout = layout_of(name)
    verified = verify(layout, folder, None if fs is None else layout.chosen_rates(fs))
    if as_json:
        print_json(verified_json(layout, folder, verified))
    if verified.bad:
        raise CheckFailed(verified_complaint(verified))
    if not as_json:
        print(verified_text(layout, folder, verified))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Data set, as `list` names it.")],
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="Id of the record.")],
    out: Annotated[Path, typer.Option(help="The file to write, .html or .png.")],
    data: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    leads: Annotated[str | None, typer.Option(help="Such as I,II,V5; default all.")] = None,
    fs: Annotated[float | None, typer.Option(help="Sample rate in Hz; default the first.")] = None,
    start: Annotated[float, typer.Option(help="Where to begin, in s.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(help="How much, up to 60; default 10.")] = None,
    fault: Annotated[str | None, typer.Option(help=f"Add one of {', '.join(FAULTS)}.")] = None,
    snr: Annotated[float | None, typer.Option(help="Of a fault that is noise, dB; 6.")] = None,
    seed: Annotated[int, typer.Option(help="Of the fault.", min=0)] = 0,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a record, or a stretch of it, on ECG paper with all that is marked in it.

    PNG is true to scale, twelve leads of 10 s as on hospital printouts; HTML can be zoomed.

    Examples
    --------
    python -m datasets show synthetic 00003 --out build/record.png
    python -m datasets show ptbxl 1 --data DIR --leads I,II,V5 --out build/record.html
    python -m datasets show butqdb 100001 --data DIR --start 3600 --out build/hour1.png
    python -m datasets show synthetic 00000 --fault muscle --snr 0 --out build/muscle.png
    """
    check_suffix(out)
    dataset = open_dataset(name, data, fs, cache)
    chosen = split_names(leads) if leads is not None else None
    excerpt = take_excerpt(dataset, record_id, chosen, start, seconds)
    if fault is not None:
        excerpt = with_fault(excerpt, fault, snr, seed)
    elif snr is not None:
        raise ValueError(f"snr needs a fault, one of {', '.join(NOISE_FAULTS)}")
    write_drawing(excerpt, out)
    if as_json:
        print_json({**excerpt_json(excerpt), "out": str(out)})
    else:
        print(f"wrote {out}")


@app.command()
def convert(
    name: Annotated[str, typer.Argument(help="Data set, as `list` names it.")],
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="Id of the record.")],
    out: Annotated[Path, typer.Option(help="The file to write: .hea, .edf or .csv.")],
    data: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    leads: Annotated[str | None, typer.Option(help="Such as I,II,V5; default all.")] = None,
    fs: Annotated[
        float | None, typer.Option(help="Sample rate in Hz; default the data set's first.")
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one record of any data set as WFDB, EDF or CSV, its counts unchanged.

    Examples
    --------
    python -m datasets convert mitdb 100 --data DIR --out build/100.edf
    python -m datasets convert files watch.csv --data watch.csv,fs=250,units=uV --out build/w.hea
    """
    from .convert import write_record

    dataset = open_dataset(name, data, fs, cache)
    reader = dataset.open(record_id, split_names(leads) if leads else None)
    write_record(reader, out)
    if as_json:
        record = reader.record
        print_json(
            {
                "record": record.record_id,
                "fs": record.fs,
                "leads": list(record.leads),
                "n_samples": reader.n_samples,
                "adc_gain": record.adc_gain,
                "baseline": record.baseline,
                "out": str(out),
            }
        )
    else:
        print(f"wrote {out}")


@app.command()
def protocol(
    name: Annotated[str, typer.Argument(help="Data set, as `list` names it.")],
    data: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    hold_out: Annotated[
        str | None, typer.Option(help="Held-out superclass; default each disease in turn.")
    ] = None,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Test on a third of fold 9, not on fold 10.")
    ] = False,
    fs: Annotated[float | None, typer.Option(help="Sample rate in Hz; default the first.")] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the records that train, calibrate, select and test when a superclass is held out.

    Examples
    --------
    python -m datasets protocol ptbxl --data DIR
    python -m datasets protocol ptbxl --data DIR --hold-out HYP --rehearsal --json
    """
    dataset = open_dataset(name, data, fs, cache)
    chosen = (hold_out,) if hold_out else DISEASES
    rows = protocol_rows(dataset, chosen, rehearsal=rehearsal)
    if as_json:
        print_json({"dataset": dataset.name, "protocols": rows})
    else:
        print(protocol_text(dataset, rows))


if __name__ == "__main__":
    app()
