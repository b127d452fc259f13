"""What PhysioNet publishes of each data set, and which of its files this project reads.

A data set's own `SHA256SUMS.txt` lists every file with its checksum, but not with its size; the
sizes here serve the free-space check and the progress bar, and limit what a server may send.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PHYSIONET = "https://physionet.org/files"
BLOCK_BYTES = 4096  # what a file takes on a usual file system is a multiple of this


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files of one kind in a published data set.

    Parameters
    ----------
    pattern : regular expression of the whole path, "/" between folders.
    n_files : how many the published version has.
    typical_bytes : size of one; where they differ, the average.
    fs : sample rate in Hz of the files, or None where they belong to every rate.
    needed : whether a list of checksums without any of them is refused.
    """

    pattern: str
    n_files: int
    typical_bytes: int
    fs: int | None = None
    needed: bool = True

    @property
    def disk_bytes(self) -> int:
        """What one file takes on disk."""
        return -(-self.typical_bytes // BLOCK_BYTES) * BLOCK_BYTES

    @property
    def bytes_max(self) -> int:
        """What one file may have at most: a server that sends more is not sending this file."""
        return 16 * self.typical_bytes + (1 << 20)


@dataclass(frozen=True, slots=True)
class PublishedLayout:
    """One data set at PhysioNet: where it is, and the files that are wanted of it.

    Parameters
    ----------
    name : as in `datasets.DATASETS`.
    slug, version : of https://physionet.org/files/<slug>/<version>/.
    groups : the files that are wanted; what matches none of them is not fetched.
    next_command : to type once it is here; "{dest}" stands for the folder, "{fs}" for the rate.
    """

    name: str
    slug: str
    version: str
    groups: tuple[FileGroup, ...]
    next_command: str

    @property
    def url(self) -> str:
        """The address of the published folder, with a slash at the end."""
        return f"{PHYSIONET}/{self.slug}/{self.version}/"

    @property
    def rates(self) -> tuple[int, ...]:
        """The sample rates in Hz one can choose between; empty where there is no choice."""
        return tuple(dict.fromkeys(group.fs for group in self.groups if group.fs is not None))

    def groups_of(self, rates: Iterable[int]) -> tuple[FileGroup, ...]:
        """Return the groups needed for `rates`."""
        return tuple(group for group in self.groups if group.fs is None or group.fs in set(rates))

    def chosen_rates(self, fs: str | None) -> tuple[int, ...]:
        """Return the rates that `fs`, a rate or "both", names; None = the first.

        Raises
        ------
        ValueError : `fs` names no rate of this data set, or there is nothing to choose.
        """
        if not self.rates:
            if fs is not None:
                raise ValueError(f"fs must not be given for {self.name}: it has one rate, got {fs}")
            return ()
        choices = {str(rate): (rate,) for rate in self.rates} | {"both": self.rates}
        if fs is None:
            return self.rates[:1]
        if fs not in choices:
            raise ValueError(f"fs of {self.name} must be one of {', '.join(choices)}, got {fs}")
        return choices[fs]

    def wanted(self, paths: Iterable[str], rates: Iterable[int]) -> dict[str, FileGroup]:
        """Return path -> group of those of `paths` that belong to `rates`."""
        groups = [(re.compile(group.pattern), group) for group in self.groups_of(rates)]
        found = {}
        for path in paths:
            for pattern, group in groups:
                if pattern.fullmatch(path):
                    found[path] = group
                    break
        return found

    def disk_bytes(self, rates: Iterable[int]) -> int:
        """Return what the published version takes on disk at `rates`."""
        return sum(group.n_files * group.disk_bytes for group in self.groups_of(rates))

    def n_files(self, rates: Iterable[int]) -> int:
        """Return how many files the published version has at `rates`."""
        return sum(group.n_files for group in self.groups_of(rates))


def layout_of(name: str) -> PublishedLayout:
    """Return the layout of the data set `name`.

    Raises
    ------
    ValueError : PhysioNet has no data set of that name that this project knows.
    """
    if name not in LAYOUTS:
        raise ValueError(f"dataset to fetch must be one of {', '.join(LAYOUTS)}, got {name}")
    return LAYOUTS[name]


def _ptbxl_records(fs: int, suffix: str) -> tuple[FileGroup, ...]:
    """Return the groups of one rate: 21,799 records of 10 s, 12 leads, 2 bytes a sample."""
    stem = rf"records{fs}/\d{{5}}/\d{{5}}_{suffix}"
    return (
        FileGroup(rf"{stem}\.dat", 21_799, 10 * fs * 12 * 2, fs),
        FileGroup(rf"{stem}\.hea", 21_799, 640, fs),
    )


# The counts and sizes follow from the data sets' descriptions: number of records, length, rate,
# bytes a sample (format 212 packs two samples into 3 bytes, format 16 takes 2 a sample).
LAYOUTS: dict[str, PublishedLayout] = {
    layout.name: layout
    for layout in (
        PublishedLayout(
            name="ptbxl",
            slug="ptb-xl",
            version="1.0.3",
            groups=(
                FileGroup(r"ptbxl_database\.csv", 1, 6_000_000),
                FileGroup(r"scp_statements\.csv", 1, 10_000),
                FileGroup(r"LICENSE\.txt", 1, 15_000, needed=False),
                *_ptbxl_records(100, "lr"),
                *_ptbxl_records(500, "hr"),
            ),
            next_command=(
                "python -m nas train --run runs/first --dataset ptbxl --data {dest} "
                "--fs {fs} --leads I --hold-out HYP"
            ),
        ),
        PublishedLayout(
            name="butqdb",
            slug="butqdb",
            version="1.0.0",
            groups=(  # the accelerometer's *_ACC files are left out: nothing here reads them
                # 478.7 h at 1 kHz, 2 bytes a sample, over 18 records
                FileGroup(r"(\d{6})/\1_ECG\.dat", 18, 191_500_000),
                FileGroup(r"(\d{6})/\1_ECG\.hea", 18, 200),
                FileGroup(r"(\d{6})/\1_ANN\.csv", 18, 100_000),
                FileGroup(r"subject-info\.csv|RECORDS|ANNOTATORS", 3, 5_000, needed=False),
                FileGroup(r"LICENSE\.txt", 1, 15_000, needed=False),
            ),
            next_command="python -m datasets show butqdb 100001 --data {dest} --out record.html",
        ),
        PublishedLayout(
            name="nstdb",
            slug="nstdb",
            version="1.0.0",
            groups=(  # three records of noise, twelve of ECG with noise added, 30 min at 360 Hz
                FileGroup(r"[^/]+\.dat", 15, 1_950_000),
                FileGroup(r"[^/]+\.hea", 15, 300),
                FileGroup(r"[^/]+\.atr", 12, 5_000),
                FileGroup(r"RECORDS|ANNOTATORS|LICENSE\.txt", 3, 5_000, needed=False),
            ),
            next_command="python -m datasets show nstdb 118e06 --data {dest} --out record.html",
        ),
        PublishedLayout(
            name="mitdb",
            slug="mitdb",
            version="1.0.0",
            groups=(  # 48 records of two leads, 30 min at 360 Hz
                FileGroup(r"\d{3}\.dat", 48, 1_950_000),
                FileGroup(r"\d{3}\.hea", 48, 300),
                FileGroup(r"\d{3}\.atr", 48, 6_000),
                FileGroup(r"RECORDS|ANNOTATORS|LICENSE\.txt", 3, 5_000, needed=False),
            ),
            next_command="python -m datasets show mitdb 208 --data {dest} --out record.html",
        ),
    )
}
