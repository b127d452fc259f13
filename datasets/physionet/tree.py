"""The folder a data set is fetched into: what lies where, and nothing outside of it."""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder that holds, or will hold, the published files of a data set.

    What a fetch keeps for itself lies in `.beatgate/fetch/`: its lock, its journal and the files
    that are not whole yet. None of those has a published name, so no reader can take it for data.

    Parameters
    ----------
    root : the folder.
    """

    root: Path

    @property
    def work(self) -> Path:
        """The folder for a fetch's own files."""
        return self.root / ".beatgate" / "fetch"

    @property
    def lock(self) -> Path:
        """The file a running fetch holds locked."""
        return self.work / "lock"

    @property
    def journal(self) -> Path:
        """The file for `Journal`."""
        return self.work / "verified.txt"

    @property
    def parts(self) -> Path:
        """The folder for files that are not whole yet."""
        return self.work / "partial"

    def path(self, name: str) -> Path:
        """Return where the published file `name` lies."""
        return self.root / name

    def part(self, name: str, sha256: str) -> Path:
        """Return where the bytes of `name` gather; another checksum is another part."""
        return self.parts / hashlib.sha256(f"{sha256} {name}".encode()).hexdigest()

    def make(self) -> None:
        """Make the folder for a fetch's own files, and those above it.

        Raises
        ------
        ValueError : one of them is a link or no folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.refuse_links([".beatgate/fetch/partial/x"])
        self.work.mkdir(parents=True, exist_ok=True)

    def refuse_links(self, names: Iterable[str]) -> None:
        """Refuse folders on the way to `names` that are links: they may lead out of the tree.

        Raises
        ------
        ValueError : a folder is a symbolic link, or no folder.
        """
        folders = {PurePosixPath(folder) for folder in {os.path.dirname(name) for name in names}}
        above = {parent for folder in folders for parent in (folder, *folder.parents)}
        for folder in sorted(self.root / parent for parent in above if parent.name):
            status = _lstat(folder)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                raise ValueError(f"{folder}: must be a folder, got {_kind(folder, status)}")

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of the file `name`, or None where there is none.

        Raises
        ------
        ValueError : it is a link or another thing that is no plain file.
        """
        path = os.path.join(self.root, name)  # a `Path` takes longer to make than to look up
        status = _lstat(path)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path}: must be a plain file, got {_kind(path, status)}")
        return status


def _lstat(path: Path | str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _kind(path: Path | str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return f"a symbolic link to {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        return "a plain file"
    return "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
