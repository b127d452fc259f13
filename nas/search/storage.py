"""Where a study is kept: the journal in its folder, or a database that many machines share."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from ..checkpoint import differences
from .journal import Journal
from .settings import HEARTBEAT_S, SweepSettings

JOURNAL = "journal.log"
SETTINGS = "settings"
LOST_AFTER_HEARTBEATS = 3


@dataclass(frozen=True, slots=True)
class StudyPlace:
    """Which study, and where.

    Parameters
    ----------
    folder : `runs/NAME`; the study is called NAME.
    url : of a database as Optuna takes it, such as postgresql+psycopg://user@host/name; None is the
        journal in the folder, which belongs to one machine.
    heartbeat_s : how often a worker tells the database that it lives. After three of them without
        a sign, its trial is another's.

    Raises
    ------
    ValueError : the folder has no name, or the heartbeat is not positive.
    """

    folder: Path
    url: str | None = None
    heartbeat_s: int = HEARTBEAT_S

    def __post_init__(self) -> None:
        if not self.folder.resolve().name:
            raise ValueError(f"a study's folder must have a name, got {self.folder}")
        if self.heartbeat_s < 1:
            raise ValueError(f"heartbeat_s must be at least 1, got {self.heartbeat_s}")

    @property
    def name(self) -> str:
        """Of the study."""
        return self.folder.resolve().name

    @property
    def lost_after_s(self) -> float:
        """How long a trial may go without a sign of its worker."""
        return float(LOST_AFTER_HEARTBEATS * self.heartbeat_s)

    def __str__(self) -> str:
        return f"study {self.name} in {self.folder / JOURNAL if self.url is None else 'database'}"


@contextmanager
def opened(place: StudyPlace, new: bool = False) -> Iterator[BaseStorage]:
    """Open the storage for the time of a `with`.

    Parameters
    ----------
    new : make a journal that is not there yet.

    Raises
    ------
    FileNotFoundError : there is no journal, and none is to be made.
    ValueError, OSError : as `open_storage`.
    """
    if not new and place.url is None and not (place.folder / JOURNAL).exists():
        raise FileNotFoundError(
            f"{place.folder / JOURNAL} must exist, it does not: run "
            f"`python -m nas sweep --study {place.folder}` first, or name its --storage"
        )
    storage = open_storage(place)
    try:
        yield storage
    finally:
        close_storage(storage)


def close_storage(storage: BaseStorage) -> None:
    """Close the connections to a database; a journal has none."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def open_storage(place: StudyPlace) -> BaseStorage:
    """Return the storage, which is made if need be; `close_storage` is the caller's to call.

    Raises
    ------
    ValueError : the journal is damaged, or the database cannot be reached.
    OSError : the journal cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if place.url is None:
        return _journal(place.folder / JOURNAL)
    import sqlalchemy

    with calm():
        try:
            return RDBStorage(
                place.url,
                # A connection that the server closed meanwhile is opened anew.
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=place.heartbeat_s,
                grace_period=round(place.lost_after_s),
            )
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise ValueError(f"the storage of {place} must be reachable, got: {reason}") from error


def open_study(place: StudyPlace, settings: SweepSettings, storage: BaseStorage) -> optuna.Study:
    """Return the study of these settings: a new one, or the one that is to go on.

    Raises
    ------
    ValueError : the study was begun with other settings.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=place.name,
        directions=[objective.direction for objective in settings.objectives],
        load_if_exists=True,
    )
    wanted = settings.to_json()
    before = study.user_attrs.get(SETTINGS)
    if before is None:
        with calm():
            study.set_metric_names([objective.name for objective in settings.objectives])
        study.set_user_attr(SETTINGS, wanted)
    elif differing := differences(before, wanted):
        raise ValueError(
            f"{place} was begun with other settings ({differing}): repeat them, or choose another "
            "--study"
        )
    return study


def load_study(place: StudyPlace, storage: BaseStorage) -> tuple[optuna.Study, SweepSettings]:
    """Return a study that is there, and its settings.

    Raises
    ------
    ValueError : there is no such study, or it is not one of a sweep.
    """
    try:
        study = optuna.load_study(study_name=place.name, storage=storage)
        return study, SweepSettings.from_json(study.user_attrs[SETTINGS])
    except KeyError as error:
        raise ValueError(f"{place} must have been begun by `python -m nas sweep`") from error


def _journal(path: Path) -> JournalStorage:
    try:
        return JournalStorage(Journal(path))
    except (json.JSONDecodeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} must be the journal of a study, got: {error}") from error


@contextmanager
def calm() -> Iterator[None]:
    """Without Optuna's remarks on what it calls experimental, or meant for its own loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
        yield
