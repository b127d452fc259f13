"""Which windows a network may see: in-distribution ones of one split, after the signal chain."""

from datasets import SUPERCLASSES, Dataset, WindowBatch
from export.signal_chain import windows_of
from export.training_run import DataSettings, in_distribution_records


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
        fingerprint=dataset.fingerprint,
    )
    settings.chain.settings(len(settings.leads))  # refuses before all records are read
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
    records = in_distribution_records(dataset, settings, split, clean_only)
    batch = windows_of(records, settings.chain, settings.window_len, settings.hop_len)
    if settings.hold_out is not None:
        assert not batch.labels[:, SUPERCLASSES.index(settings.hold_out)].any()
    return batch
