"""Which windows a network may see: in-distribution ones of one role, after the signal chain."""

from datasets import SUPERCLASSES, LeaveOneOut, WindowBatch
from export.chain_windows import windows_of
from export.training_run import DataSettings

from .damage import damaged_windows
from .windows import Augmentation, TrainingWindows


def describe_data(
    protocol: LeaveOneOut,
    data: str | None,
    leads: tuple[str, ...],
    fs_target: float,
    highpass_hz: float,
    mains_hz: float | None,
    window_s: float = 10.0,
) -> DataSettings:
    """Return the settings a run is trained with; gain and baseline are the first record's.

    Parameters
    ----------
    protocol : of the run; data : where the recordings lie, None where they need no folder.
    leads : names as asked for; fs_target, highpass_hz, mains_hz : as in `SignalChain`.
    window_s : length of a window in seconds.

    Raises
    ------
    ValueError : a lead is not there, or a setting of the signal chain is out of range.
    """
    dataset = protocol.dataset
    first = protocol.open(protocol.record_ids("train")[0], "train", leads).record
    settings = DataSettings(
        dataset=dataset.name,
        data=data,
        leads=first.leads,
        hold_out=protocol.hold_out,
        fs=dataset.fs,
        adc_gain=first.adc_gain,
        baseline=first.baseline,
        highpass_hz=highpass_hz,
        fingerprint=dataset.fingerprint,
        rehearsal=protocol.rehearsal,
        window_s=window_s,
        fs_target=fs_target,
        mains_hz=mains_hz,
    )
    settings.chain.settings(len(settings.leads))  # refuses before all records are read
    return settings


def familiar_windows(
    protocol: LeaveOneOut, settings: DataSettings, role: str, clean_only: bool = False
) -> WindowBatch:
    """Return the windows of every record of `role`.

    Parameters
    ----------
    protocol : the door to the recordings; settings : leads, signal chain, window and hop.
    role : one of `datasets.protocol.ROLES`; the test roles are sealed in training.
    clean_only : leave out records with a noise remark.

    Raises
    ------
    ValueError : the role is sealed, no record is left, or one does not fit the settings.
    """
    records = protocol.records(role, settings.leads, clean_only)
    return windows_of(records, settings.chain, settings.window_len, settings.hop_len)


def training_windows(
    protocol: LeaveOneOut, settings: DataSettings, augmentation: Augmentation
) -> TrainingWindows:
    """Return what a detector is fitted on: the in-distribution windows of the training split.

    Raises
    ------
    ValueError : as `familiar_windows`, or a superclass has no window.
    """
    batch = familiar_windows(protocol, settings, "train")
    check_classes(batch, settings)
    columns = [SUPERCLASSES.index(name) for name in settings.classes]
    return TrainingWindows(
        codes=batch.x,
        lsb_mv=batch.lsb_mv,
        labels=batch.labels[:, columns],
        classes=settings.classes,
        augmentation=augmentation,
        damaged=lambda seed: damaged_windows(protocol, settings, batch.x, seed),
    )


def check_classes(batch: WindowBatch, settings: DataSettings) -> None:
    """Raise ValueError unless `batch` has a window of every superclass but the held-out one."""
    absent = [n for n in settings.classes if not batch.labels[:, SUPERCLASSES.index(n)].any()]
    if absent:
        raise ValueError(
            f"training needs records of {', '.join(settings.classes)}, "
            f"the training split has none of {', '.join(absent)}"
        )
