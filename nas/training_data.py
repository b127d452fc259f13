"""Which windows a network may see: in-distribution ones of one split, after the signal chain."""

from collections.abc import Iterator

from datasets import SUPERCLASSES, Dataset, EcgRecord, WindowBatch, in_distribution
from datasets.progress import Advance, progress
from export.signal_chain import windows_of
from export.training_run import DataSettings


def describe_data(
    dataset: Dataset,
    data: str | None,
    leads: tuple[str, ...],
    hold_out: str | None,
    highpass_hz: float,
) -> DataSettings:
    """Return the settings a run is trained with; gain and baseline are the first record's.

    Raises
    ------
    ValueError : a lead is not there, `hold_out` is no superclass, or `highpass_hz` is out of range.
    """
    first = dataset.load(dataset.record_ids("train")[0], leads)
    settings = DataSettings(
        dataset=dataset.name,
        data=data,
        leads=first.leads,
        hold_out=hold_out,
        fs=dataset.fs,
        adc_gain=first.adc_gain,
        baseline=first.baseline,
        highpass_hz=highpass_hz,
    )
    assert settings.chain  # refuses what the chain cannot do before any record is read
    return settings


def familiar_windows(
    dataset: Dataset, settings: DataSettings, split: str, clean_only: bool = False
) -> WindowBatch:
    """Return the windows of every in-distribution record of `split`.

    A record that carries the held-out superclass is never windowed, whatever else it carries, and
    neither is one without any diagnostic superclass.

    Parameters
    ----------
    dataset : open data set; settings : leads, signal chain, window and hop.
    split : one of `datasets.SPLITS`.
    clean_only : also leave out records with a noise remark.

    Raises
    ------
    ValueError : no record is left, or one does not fit the settings.
    """
    record_ids = dataset.record_ids(split)

    def records(advance: Advance) -> Iterator[EcgRecord]:
        for record_id in record_ids:
            record = dataset.load(record_id, settings.leads)
            advance()
            if in_distribution(record, settings.hold_out) and (record.clean or not clean_only):
                yield record

    with progress(f"Windows of {split}", total=len(record_ids)) as advance:
        batch = windows_of(records(advance), settings.chain, settings.window_len, settings.hop_len)
    if settings.hold_out is not None:
        assert not batch.labels[:, SUPERCLASSES.index(settings.hold_out)].any()
    return batch
