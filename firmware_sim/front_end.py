"""A bundle made ready for recordings of another sensor, and what a reader must know of it."""

from collections.abc import Sequence

from datasets import Dataset
from export.bundle import Bundle
from export.signal_chain import SignalChain

SENSOR = ("fs", "adc_gain", "baseline")
"""What a record and a signal chain both say of the sensor."""


def fit_front_end(
    bundle: Bundle,
    dataset: Dataset,
    record_ids: Sequence[str],
    leads: Sequence[str] | None,
    mains_hz: float | None,
) -> tuple[Bundle, tuple[str, ...]]:
    """Return `bundle` behind the signal chain for these recordings, and remarks on it.

    Parameters
    ----------
    bundle : as it was made; returned as it is where it fits.
    dataset, record_ids : the recordings; the first one shows rate, gain and baseline, and the
        others are held to it when they are played.
    leads : of the data set, in place of the bundle's; None = the same.
    mains_hz : mains to take out of the recordings; None = as in the bundle where its own sensor is
        meant, else none.

    Raises
    ------
    ValueError : no record, a lead is not there, other leads than the bundle has inputs, or no
        signal chain leads from these recordings to the networks.
    """
    own = bundle.data.leads
    if leads is not None and len(leads) != len(own):
        raise ValueError(
            f"leads must be {len(own)} in place of {', '.join(own)}, got {', '.join(leads)}"
        )
    if not record_ids:
        raise ValueError(f"recordings of {dataset.name} must be there to replay, there are none")
    record = dataset.open(record_ids[0], leads or own).record
    remarks = []
    if record.leads != own:
        remarks.append(
            f"Lead {', '.join(record.leads)} takes the place of {', '.join(own)}, which the "
            "networks were trained on."
        )
    chain = bundle.chain
    same = all(getattr(record, name) == getattr(chain, name) for name in SENSOR)
    if same and mains_hz in (None, chain.mains_hz):
        return bundle, tuple(remarks)
    fitted = bundle.with_front_end(record.fs, record.adc_gain, record.baseline, mains_hz)
    remarks.append(
        f"The recordings ({_words(fitted.chain)}) are of another sensor than the bundle's "
        f"({_words(chain)}): the same networks behind a signal chain for it, at "
        f"{chain.fs_target:g} Hz. The threshold is the bundle's, not calibrated for this sensor."
    )
    return fitted, tuple(remarks)


def _words(chain: SignalChain) -> str:
    notch = "" if chain.mains_hz is None else f", notch at {chain.mains_hz:g} Hz"
    return f"{chain.fs:g} Hz, {chain.adc_gain:g} counts/mV, 0 mV at {chain.baseline}{notch}"
