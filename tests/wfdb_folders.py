"""Small folders in the layouts of mitdb and nstdb, and their counts, written through wfdb."""

import numpy as np
import wfdb

FS = 360
N_SAMPLES = 20 * FS
GAIN, BASELINE = 200.0, 1024
RHYTHM_CHANGE = 4000  # sample


def counts_of(seed, n_samples=N_SAMPLES):
    """Return what a record is written with, int16 (n_samples, 2): slow waves and noise, 11 bits."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples)[:, None] / FS
    waves = 200 * np.sin(2 * np.pi * np.array([1.1, 0.7]) * time_s)
    return (BASELINE + waves + rng.integers(-20, 20, (n_samples, 2))).astype(np.int16)


def write_signals(folder, name, leads, counts, comments=(), gain=GAIN, baseline=BASELINE):
    """Write NAME.hea and NAME.dat in format 212."""
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=FS,
        units=["mV"] * 2,
        sig_name=list(leads),
        d_signal=counts.astype(np.int64),
        fmt=["212"] * 2,
        adc_gain=[gain] * 2,
        baseline=[baseline] * 2,
        comments=list(comments),
        write_dir=str(folder),
    )


def write_beats(folder, name, n_samples=N_SAMPLES):
    """Write NAME.atr: beats each 0.8 s, one of them ventricular, a change of rhythm, a remark."""
    beats = np.arange(100, n_samples, 288)
    symbols = np.where(np.arange(len(beats)) == 3, "V", "N").tolist()
    marks = [(int(beat), symbol, "") for beat, symbol in zip(beats, symbols, strict=True)]
    marks += [(10, "+", "(N\0"), (RHYTHM_CHANGE, "+", "(AFIB\0"), (50, "~", "")]
    samples, symbols, notes = zip(*sorted(marks), strict=True)
    wfdb.wrann(
        name,
        "atr",
        np.array(samples),
        symbol=list(symbols),
        aux_note=list(notes),
        fs=FS,
        write_dir=str(folder),
    )
    return beats


def write_mitdb(folder):
    """Write records 100, 102, 201 and 202 of mitdb's layout; 102 has other leads."""
    leads_by_id = {"100": "MLII V5", "102": "V5 V2", "201": "MLII V1", "202": "MLII V1"}
    for record_id, leads in leads_by_id.items():
        comments = ["69 M 1085 1629 x1", "Aldomet, Inderal"]
        write_signals(folder, record_id, leads.split(), counts_of(int(record_id)), comments)
        write_beats(folder, record_id)
    return folder


def write_nstdb(folder, n_samples=N_SAMPLES):
    """Write an ECG of each subject, and the three recordings of noise, which state no gain."""
    for seed, name in enumerate(("118e24", "119e_6")):
        write_signals(folder, name, ("MLII", "V1"), counts_of(seed, n_samples))
        write_beats(folder, name, n_samples)
    for seed, name in enumerate(("bw", "em", "ma"), start=10):
        write_signals(folder, name, ("noise1", "noise2"), counts_of(seed) - BASELINE, baseline=0)
        header = folder / f"{name}.hea"
        header.write_text(header.read_text().replace("212 200.0(0)/mV", "212 0"))
    return folder
