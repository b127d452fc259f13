"""`python -m export`: bundles from training runs, the boards they run on, the signal chain."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from datasets.command_line import App, CacheOption, JsonOption, print_json

from .boards import board_names, load_board

app = App("Make bundles from training runs; list boards; measure the signal chain.")


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(help="Training run, runs/NAME.")],
    out: Annotated[Path, typer.Option(help="Bundle to make, such as build/NAME.")],
    alpha: Annotated[
        float, typer.Option(help="False-reject rate of clean in-distribution windows.")
    ] = 0.05,
    data: Annotated[
        str | None, typer.Option(help="Folder of the data set; default where it was in training.")
    ] = None,
    fs: Annotated[
        float | None, typer.Option(help="Rate of the sensor it is for, Hz; default as in training.")
    ] = None,
    adc_gain: Annotated[
        float | None, typer.Option(help="Counts per mV of that sensor; default as in training.")
    ] = None,
    baseline: Annotated[
        int | None, typer.Option(help="Its count at 0 mV; default as in training.")
    ] = None,
    mains: Annotated[
        float | None, typer.Option(help="Mains to take out there, 50 or 60 Hz; default training's.")
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantize a run to int8, calibrate its threshold and write the bundle.

    The networks stay at the rate they were trained at: the signal chain brings another sensor's
    counts there.

    Examples
    --------
    python -m export bundle runs/demo --out build/demo
    python -m export bundle runs/hyp --out build/hyp --alpha 0.02
    python -m export bundle runs/hyp --out build/holter --fs 360 --adc-gain 200 --baseline 1024
    """
    from .pack import pack_bundle

    given = {"fs": fs, "adc_gain": adc_gain, "baseline": baseline, "mains_hz": mains}
    front_end = {name: value for name, value in given.items() if value is not None}
    manifest = pack_bundle(run, out, alpha, data, cache, front_end)
    if as_json:
        print_json({"bundle": str(out), **manifest})
        return
    gate, classifier = manifest["filter"], manifest["classifier"]
    threshold = gate["threshold"]
    print(f"bundle      {out}")
    for name, part in (("filter", gate), ("classifier", classifier)):
        cost = part["cost"]
        print(
            f"{name:<11} {cost['n_parameters']:,} parameters, {cost['macs_per_window']:,} MACs a "
            f"window, blob {cost['blob_bytes']:,} bytes, int8 ranks as float: Spearman "
            f"{part['spearman_int8_float']:.3f}"
        )
    print(
        f"threshold   {threshold['value']:,} for {threshold['alpha']:.1%} false rejects, from "
        f"{threshold['n_calibration']:,} clean in-distribution windows"
    )
    print(f"arena       {manifest['arena_bytes']:,} bytes")


@app.command()
def chain(
    fs_target: Annotated[float, typer.Option(help="Rate of the model in Hz.")] = 100.0,
    mains: Annotated[
        float | None, typer.Option(help="With a notch at 50 or 60 Hz; default none.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the responses too, to this .png or .html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the signal chain for every common sensor: its response, its distance from scipy.

    Examples
    --------
    python -m export chain
    python -m export chain --fs-target 250 --mains 50 --json
    python -m export chain --plot build/chain.png
    """
    from .chain_plot import check_suffix, write_responses
    from .chain_report import markdown_table, measure_chain, sensor_chains

    if plot is not None:
        check_suffix(plot)
    chains = sensor_chains(fs_target, mains)
    figures = [measure_chain(chain) for chain in chains]
    if plot is not None:
        write_responses(chains, plot)
    if as_json:
        print_json({"sensors": [asdict(row) for row in figures], "plot": plot and str(plot)})
        return
    print(markdown_table(figures))
    if plot is not None:
        print(f"wrote {plot}")


@app.command()
def cost(
    source: Annotated[Path, typer.Argument(help="Bundle, .tflite file, or .keras file.")],
    board: Annotated[str, typer.Option(help="Board; `python -m export boards` lists them.")],
    hop_s: Annotated[
        float, typer.Option(min=0.01, help="Seconds between decisions; a bundle has its own.")
    ] = 1.0,
    classifier: Annotated[
        bool, typer.Option("--classifier", help="The file is a classifier, not a filter.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what networks cost on a board: exact bytes, an estimate of instructions, by layer.

    A .keras file need not be trained.

    Examples
    --------
    python -m export cost build/hyp --board qemu-m4
    python -m export cost model.keras --board qemu-m0 --json
    """
    from .cost import load_cost_model
    from .cost_report import cost_lines, plan_source

    model = load_cost_model(load_board(board))
    planned = plan_source(source, hop_s, classifier)
    found = model.cost(planned.gates, planned.classifier, planned.fs)
    if model.stale is not None:
        print(f"warning: {model.stale}", file=sys.stderr)
    if as_json:
        print_json({**found.to_json(), "stale": model.stale})
        return
    print("\n".join(cost_lines(found, model)))


@app.command()
def boards(as_json: JsonOption = False) -> None:
    """List the boards that firmware can be built for.

    Examples
    --------
    python -m export boards
    python -m export boards --json
    """
    found = [load_board(name) for name in board_names()]
    if as_json:
        print_json({"boards": [asdict(board) for board in found]})
        return
    for board in found:
        print(
            f"{board.name:<14} {board.cpu:<11} {board.clock_hz / 1e6:g} MHz  flash "
            f"{board.flash_bytes // 1024} KiB  RAM {board.ram_bytes // 1024} KiB  {board.summary}"
        )


if __name__ == "__main__":
    app()
