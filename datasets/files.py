"""Own recordings: WFDB, EDF and CSV files, one or a folder of them, as a data set.

`data` is the path, and after it, with commas between, what the files do not say themselves:
"holter.hea", "folder", "night.edf,channels=ECG,leads=II", "watch.csv,fs=250,units=uV,leads=I".
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .cache import digest
from .channels import Channels
from .csv_files import OPTION_RULES, CsvOptions, parse_option, read_csv
from .dataset import DatasetCard
from .edf_files import read_edf
from .reader import RecordReader
from .recordings import RecordInfo, Recordings
from .splits import TEST_FOLD
from .wfdb_files import read_wfdb

LIST_SEPARATOR = "+"
HASHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSettings:
    """The files, and what is said of all of them.

    Parameters
    ----------
    path : a file, or a folder whose recordings are the data set.
    csv : of CSV files only; WFDB and EDF state their own.
    channels : the signals to read, as the files name them; None = all.
    leads : what to call those, in the same order; None = as the files do.
    """

    path: Path
    csv: CsvOptions = field(default_factory=CsvOptions)
    channels: tuple[str, ...] | None = None
    leads: tuple[str, ...] | None = None

    @classmethod
    def from_text(cls, text: str) -> "FileSettings":
        """Return what `text` says, a path and options such as "x.csv,fs=250,leads=I+II".

        Raises
        ------
        ValueError : an option is not one there is, or breaks its rule.
        """
        path, *parts = text.split(",")
        names = (*OPTION_RULES, "channels", "leads")
        while parts and "=" not in parts[0]:  # a comma of the path itself
            path += f",{parts.pop(0)}"
        given = {name: value for name, _, value in (part.partition("=") for part in parts)}
        for name in given:
            if name not in names:
                raise ValueError(f"{path}: option must be one of {', '.join(names)}, got {name!r}")
        lists = {
            name: tuple(filter(None, given.pop(name).split(LIST_SEPARATOR)))
            for name in ("channels", "leads")
            if name in given
        }
        csv = {name: parse_option(name, value, path) for name, value in given.items()}
        return cls(Path(path), CsvOptions(**csv), **lists)


def open_files(data: str | Path | None, fs: float, cache: str | Path | None) -> Recordings:
    """Open the recordings `data` names; see the module's text.

    The id of a record is its file's name, and so is its subject. The rate is that of the first
    recording; another one with another rate is an error when it is opened.

    Raises
    ------
    ValueError : there is no such recording, or the first one breaks a rule.
    """
    if not data:
        raise ValueError("files needs --data, a recording or a folder of them")
    settings = FileSettings.from_text(str(data))
    paths = {path.name: path for path in _recordings(settings.path)}
    listed = [RecordInfo(name, name, TEST_FOLD, where=name) for name in paths]
    first = open_file(settings, next(iter(paths.values())))
    if fs and fs != first.fs:
        raise ValueError(f"{first.where}: fs must be {fs:g} Hz, as asked for, got {first.fs:g}")

    def open_record(info: RecordInfo, leads: Sequence[str] | None) -> RecordReader:
        path = paths[info.record_id]
        channels = first if first.where == str(path) else open_file(settings, path)
        if channels.fs != first.fs:
            raise ValueError(
                f"{path}: fs must be {first.fs:g} Hz, that of {first.where}, got {channels.fs:g}; "
                "open recordings of different rates one by one"
            )
        return channels.open(info, leads)

    fingerprint = digest(
        str(settings.csv), settings.channels, settings.leads, sorted(map(_state, paths.values()))
    )
    return Recordings(
        FILES, first.fs, listed, paths, {}, open_record, fingerprint, settings.path, first.leads
    )


def open_file(settings: FileSettings, path: Path) -> Channels:
    """Open one file, its signals chosen and named as `settings` say.

    Raises
    ------
    ValueError : the file breaks a rule, or an option does not go with it.
    """
    channels = FORMATS[path.suffix.lower()](path, settings)
    leads = settings.leads
    if leads is None:
        return channels
    if len(leads) != len(channels.leads):
        raise ValueError(
            f"{path}: leads must name its {len(channels.leads)} signals "
            f"{', '.join(channels.leads)}, got {', '.join(leads) or 'none'}"
        )
    return replace(channels, leads=leads)


def _recordings(path: Path) -> list[Path]:
    """Return the file, or the folder's files of a known format, by name."""
    known = ", ".join(FORMATS)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in FORMATS and p.is_file())
        if not found:
            raise ValueError(f"{path}: must hold recordings ({known}), got none")
        return found
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: a recording must be one of {known}, got {path.suffix or path}")
    if not path.is_file():
        raise ValueError(f"{path}: must be there, got no file")
    return [path]


def _state(path: Path) -> tuple[str, int, str]:
    """Return name, size and the hash of the beginning, which is enough to know a file again."""
    with path.open("rb") as file:
        beginning = file.read(HASHED_BYTES)
    return path.name, path.stat().st_size, hashlib.sha256(beginning).hexdigest()


def _open_wfdb(path: Path, settings: FileSettings) -> Channels:
    _refuse_options(path, settings)
    return read_wfdb(path, settings.channels).channels


def _open_edf(path: Path, settings: FileSettings) -> Channels:
    _refuse_options(path, settings)
    return read_edf(path, settings.channels)


def _open_csv(path: Path, settings: FileSettings) -> Channels:
    return read_csv(path, settings.csv, settings.channels)


def _refuse_options(path: Path, settings: FileSettings) -> None:
    for name in OPTION_RULES:
        value = getattr(settings.csv, name)
        if value is not None:
            raise ValueError(f"{path}: {name} is what the file itself says, got {name}={value}")


FORMATS: dict[str, Callable[[Path, FileSettings], Channels]] = {
    ".hea": _open_wfdb,
    ".edf": _open_edf,
    ".csv": _open_csv,
}

FILES = DatasetCard(
    name="files",
    about="recordings of your own: WFDB (.hea), EDF or CSV, a file or a folder of them",
    leads=(),
    fs=(),
    size="what --data names, such as holter.hea or watch.csv,fs=250,units=uV,leads=I",
    licence="yours",
    citation="None: recordings of your own.",
    needs_folder=True,
    open=open_files,
)
