"""`python -m nas`: train the filter and the diagnostic classifier of a run; benchmark families."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from datasets import LeaveOneOut, leave_one_out, open_dataset
from datasets.command_line import App, CacheOption, JsonOption, print_json, split_names
from export.training_run import DataSettings, TrainedPart

from . import classifier as classifiers
from .backend import load_keras
from .benchmark.command import benchmark
from .candidate import WINDOW_S, Candidate, default_candidate
from .detectors import DETECTORS
from .job import Job
from .options import (
    DataOption,
    DatasetOption,
    FsOption,
    FsTargetOption,
    HighpassOption,
    HoldOutOption,
    LeadsOption,
    MainsOption,
    OverwriteOption,
    RehearsalOption,
    RunOption,
    SeedOption,
)
from .plan import TrainingPlan
from .search.commands import StorageOption, StudyArgument, add_commands
from .training_data import check_classes, describe_data, familiar_windows, training_windows

DEFAULT_DETECTOR = "deep_svdd"

app = App("Train the filter and the diagnostic classifier of a run; benchmark the families.")

EpochsOption = Annotated[
    int | None, typer.Option(help="Passes over the training windows; default the network's own.")
]
WINDOW = typer.Option(help="Length of a window in seconds; the same for both networks.")
DetectorOption = Annotated[
    str | None,
    typer.Option(help=f"Detector: {', '.join(DETECTORS)}; default {DEFAULT_DETECTOR}."),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option(help="JSON file of what differs from the detector's defaults (docs/training.md)."),
]
TrialOption = Annotated[str, typer.Option(help="Number of the trial; default the winner.")]
GateOption = Annotated[str | None, typer.Option(help="Gate of a trial that has a pair.")]


@app.command()
def train(
    run: RunOption,
    dataset: DatasetOption = "synthetic",
    data: DataOption = None,
    leads: LeadsOption = "I",
    hold_out: HoldOutOption = None,
    rehearsal: RehearsalOption = False,
    detector: DetectorOption = None,
    params: ParamsOption = None,
    window_s: Annotated[float | None, WINDOW] = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    fs: FsOption = 100.0,
    fs_target: FsTargetOption = 100.0,
    mains: MainsOption = None,
    highpass_hz: HighpassOption = 0.5,
    cache: CacheOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the filter of a run: a detector that sees in-distribution windows only.

    Besides, latent_gaussian sees the superclasses they carry, and quality the same windows with
    generated faults. No family sees the held-out class, recorded noise or a label of quality.

    Interrupted, the same command goes on after the last whole epoch.

    Examples
    --------
    python -m nas train --run runs/demo
    python -m nas train --run runs/hyp --dataset ptbxl --data ~/ptbxl --leads I --hold-out HYP
    python -m nas train --run runs/soft --detector deep_svdd --params soft.json --seed 1
    """
    candidate = _candidate(detector, params, window_s, epochs)
    protocol = leave_one_out(open_dataset(dataset, data, fs, cache), hold_out, rehearsal=rehearsal)
    settings = describe_data(
        protocol, data, split_names(leads), fs_target, highpass_hz, mains, candidate.window_s
    )
    job, trained = _trained_filter(run, protocol, settings, candidate, seed, overwrite)
    _report(job, trained, as_json)


@app.command()
def winner(
    study: StudyArgument,
    run: RunOption,
    trial: TrialOption = "best",
    gate: GateOption = None,
    data: DataOption = None,
    storage: StorageOption = None,
    seed: SeedOption = 0,
    cache: CacheOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a trial of a sweep the filter of a run, trained anew on all that training may see.

    The surrogate class, which the sweep left out, is trained on; the held-out one is not.

    Examples
    --------
    python -m nas winner runs/sweep --run runs/hyp --data ~/ptbxl
    """
    from .search.front import chosen_candidate
    from .search.storage import StudyPlace

    candidate, searched = chosen_candidate(StudyPlace(study, storage), trial, gate)
    dataset = open_dataset(searched.dataset, data, searched.fs, cache)
    protocol = leave_one_out(dataset, searched.hold_out, rehearsal=searched.rehearsal)
    settings = replace(searched, data=data, window_s=candidate.window_s)
    if dataset.fingerprint != settings.fingerprint:
        raise ValueError(
            f"the recordings must be those of {study}, with fingerprint "
            f"{settings.fingerprint[:12]}, got {dataset.fingerprint[:12]} in {data}"
        )
    job, trained = _trained_filter(run, protocol, settings, candidate, seed, overwrite)
    _report(job, trained, as_json)


@app.command()
def classifier(
    run: RunOption,
    dataset: DatasetOption = "synthetic",
    data: DataOption = None,
    leads: LeadsOption = "I",
    hold_out: HoldOutOption = None,
    rehearsal: RehearsalOption = False,
    window_s: Annotated[float, WINDOW] = WINDOW_S,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    fs: FsOption = 100.0,
    fs_target: FsTargetOption = 100.0,
    mains: MainsOption = None,
    highpass_hz: HighpassOption = 0.5,
    cache: CacheOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the diagnostic classifier of a run: one logit a superclass, none for the held-out one.

    Reports the AUROC of each class on the clean records of the validation split. Interrupted, the
    same command goes on after the last whole epoch.

    Examples
    --------
    python -m nas classifier --run runs/demo
    python -m nas classifier --run runs/hyp --dataset ptbxl --data ~/ptbxl --leads I --hold-out HYP
    """
    params = classifiers.Params()
    protocol = leave_one_out(open_dataset(dataset, data, fs, cache), hold_out, rehearsal=rehearsal)
    settings = describe_data(
        protocol, data, split_names(leads), fs_target, highpass_hz, mains, window_s
    )
    network = {"params": asdict(params)}
    plan = _plan(classifiers.PLAN, epochs)
    job = Job(run, "classifier", settings, seed, plan, network, overwrite)
    trained = job.finished()
    if trained is None:
        batch = familiar_windows(protocol, settings, "train")
        check_classes(batch, settings)
        validation = familiar_windows(protocol, settings, "validation", clean_only=True)
        with _keras(job):
            trained = classifiers.train_classifier(job, params, batch, validation)
    else:
        _say_already_trained(job)
    _report(job, trained, as_json)


def _trained_filter(
    run: Path,
    protocol: LeaveOneOut,
    settings: DataSettings,
    candidate: Candidate,
    seed: int,
    overwrite: bool,
) -> tuple[Job, TrainedPart]:
    """Train a candidate, unless the run already holds it."""
    candidate.check_cap((settings.window_len, len(settings.leads)))
    network = {n: v for n, v in candidate.to_json().items() if n not in ("plan", "window_s")}
    job = Job(run, "filter", settings, seed, candidate.plan, network, overwrite)
    trained = job.finished()
    if trained is None:
        windows = training_windows(protocol, settings, candidate.augmentation)
        with _keras(job):
            from .filter import train_filter

            trained = train_filter(job, candidate, windows)
    else:
        _say_already_trained(job)
    return job, trained


def _candidate(
    detector: str | None, params: Path | None, window_s: float | None, epochs: int | None
) -> Candidate:
    """Return the family's default, changed by the JSON file `params` and by the other options."""
    if params is None:
        candidate = default_candidate(DEFAULT_DETECTOR if detector is None else detector)
    else:
        candidate = _described(params, detector)
    if window_s is not None:
        candidate = replace(candidate, window_s=window_s)
    return replace(candidate, plan=_plan(candidate.plan, epochs))


def _described(params: Path, detector: str | None) -> Candidate:
    """Return what the file describes; of `detector`, or of the one that it names itself."""
    try:
        values = json.loads(params.read_text())
        named = {"detector": DEFAULT_DETECTOR if detector is None else detector}
        candidate = Candidate.from_json({**named, **values} if isinstance(values, dict) else values)
    except ValueError as error:
        raise ValueError(f"{params} must describe a detector: {error}") from error
    if detector not in (None, candidate.detector):
        raise ValueError(f"{params} must describe a {detector}, is of a {candidate.detector}")
    return candidate


def _plan(plan: TrainingPlan, epochs: int | None) -> TrainingPlan:
    return plan if epochs is None else replace(plan, epochs=epochs)


@contextmanager
def _keras(job: Job) -> Iterator[None]:
    """Make Keras and the run folder ready, and say on Ctrl-C what happens next."""
    load_keras()
    job.run.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on after the last whole epoch", file=sys.stderr)
        raise


def _say_already_trained(job: Job) -> None:
    print(
        f"{job.run} already holds this {job.part}, nothing trained; --overwrite trains it again",
        file=sys.stderr,
    )


def _report(job: Job, trained: TrainedPart, as_json: bool) -> None:
    """Print what was trained: a JSON object, or a few lines."""
    if as_json:
        print_json({"run": str(job.run), "part": job.part, **asdict(trained)})
        return
    history = trained.details["history"]
    print(
        f"{job.run}/{job.part}: {trained.details['n_parameters']:,} parameters, "
        f"{trained.details['n_train_windows']:,} windows, loss {history['loss'][0]:.4g} -> "
        f"{history['loss'][-1]:.4g} in {len(history['loss'])} epochs"
    )
    if job.part == "classifier":
        areas = {"macro": history["auroc_macro"], **history["auroc"]}
        shown = [f"{name} {area:.3f}" for name, area in areas.items() if area is not None]
        print(f"AUROC on {history['n_validation_windows']:,} windows: {', '.join(shown)}")
    elif any(trained.score_constants.get("centre", ())):
        # Drawn to one point: whether they all got there. About 0 the mean is no measure.
        print(
            f"outputs spread by {history['output_spread']:.3f} of their mean across windows "
            f"({history['output_spread_untrained']:.3f} before training)"
        )


app.command()(benchmark)
add_commands(app)


if __name__ == "__main__":
    app()
