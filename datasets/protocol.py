"""Leave one superclass out: the one door through which training, selection and tests get records.

A *protocol* gives every record of a data set one role, or none:

    train, calibration, validation    in-distribution: a superclass, and not the held-out one
    surrogate                         validation records of a second held-out superclass
    test                              in-distribution records of the test split
    unseen                            test records that carry the held-out superclass
    undiagnosed                       test records without any superclass

and hands records out by role only. A record that carries the held-out superclass has the role
`unseen` or none, so nothing that trains, selects or calibrates can get hold of one. The test roles
stay sealed until the candidate to be tested is fixed and named.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from .dataset import Dataset, Member, refuse_broken
from .noise import RecordedNoise
from .progress import progress
from .reader import RecordReader
from .records import SUPERCLASSES, EcgRecord
from .splits import assert_disjoint, check_split, rehearsal_split_of, split_of

logger = logging.getLogger(__name__)

FITTED_ROLES = ("train", "calibration")
SELECTION_ROLES = ("validation", "surrogate")
SEALED_ROLES = ("test", "unseen", "undiagnosed")
ROLES = (*FITTED_ROLES, *SELECTION_ROLES, *SEALED_ROLES)
LABELS = ("multi", "single")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be tested, fixed: its name and the SHA-256 (64 hex digits) of what ships."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        digits = set(self.sha256)
        if not self.name or len(self.sha256) != 64 or not digits <= set("0123456789abcdef"):
            raise ValueError(
                "a fixed candidate needs a name and the SHA-256 of what ships in 64 hex digits, "
                f"got {self.name!r} and {self.sha256!r}"
            )


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Who has which role; made by `leave_one_out`, which has the parameters' meaning.

    Parameters
    ----------
    dataset, hold_out, labels, surrogate, rehearsal : as in `leave_one_out`.
    members : record_id -> membership, of every record on disk, in the data set's order; also of
        broken ones, which stop only what asks for their role.
    candidate : what the test roles were opened for; None while they are sealed.
    """

    dataset: Dataset
    hold_out: str | None
    labels: str
    surrogate: str | None
    rehearsal: bool
    members: Mapping[str, Member]
    candidate: Candidate | None = None

    def __post_init__(self) -> None:
        for name, value in (("hold_out", self.hold_out), ("surrogate", self.surrogate)):
            if value is not None and value not in SUPERCLASSES:
                raise ValueError(f"{name} must be one of {', '.join(SUPERCLASSES)}, got {value}")
        if self.labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(LABELS)}, got {self.labels}")
        if self.surrogate is not None and self.surrogate == self.hold_out:
            raise ValueError(
                f"the surrogate must be another superclass than the held-out one, got "
                f"{self.surrogate} for both"
            )
        if self.surrogate is not None and self.candidate is not None:
            raise ValueError(
                f"a protocol with the surrogate {self.surrogate} selects and tests nothing, "
                f"got the candidate {self.candidate.name} to test"
            )
        if self.candidate is not None:
            logger.warning(
                "test records of %s opened, held out: %s, for %s (SHA-256 %s)",
                self.dataset.name,
                self.hold_out,
                self.candidate.name,
                self.candidate.sha256,
            )

    def role_of(self, record_id: str) -> str | None:
        """Return the role of a record, None where it has none; see the module's docstring.

        Raises
        ------
        ValueError : the data set has no such record on disk.
        """
        if record_id not in self.members:
            raise ValueError(f"record must be one of {self.dataset.name} on disk, got {record_id}")
        member = self.members[record_id]
        carried = member.superclasses
        split = (rehearsal_split_of if self.rehearsal else split_of)(member.fold, member.subject_id)
        if split == "test" and self.surrogate is not None:
            return None
        if not carried:
            return "undiagnosed" if split == "test" else None
        if self.labels == "single" and len(carried) > 1 and split in ("validation", "test"):
            return None
        if self.hold_out in carried:
            return "unseen" if split == "test" else None
        if self.surrogate in carried:
            return "surrogate" if split == "validation" else None
        return split

    def record_ids(self, *roles: str) -> list[str]:
        """Return the ids of the records of `roles`, in the data set's order.

        Raises
        ------
        ValueError : a role is unknown or sealed, no record has any of them, or one that has is
            broken.
        """
        for role in roles:
            self._check_open(role)
        found = [i for i in self.members if self.role_of(i) in roles]
        if not found:
            raise ValueError(f"{' or '.join(roles)} needs {self._need(roles)}")
        refuse_broken(self.dataset, found)
        return found

    def open(self, record_id: str, role: str, leads: Sequence[str] | None = None) -> RecordReader:
        """Open one record, which has to have `role`, now as when the protocol was made.

        Raises
        ------
        ValueError : `role` is unknown, sealed, or not that of the record; or the data set now tells
            another subject, fold or diagnosis than it did when the protocol was made.
        """
        self._check_open(role)
        if self.role_of(record_id) != role:
            raise ValueError(
                f"record {record_id} must have the role {role} to be loaded for it, "
                f"got {self.role_of(record_id) or 'none'} ({self._diagnosis(record_id)})"
            )
        reader = self.dataset.open(record_id, leads)
        if (member := Member.of(reader.record)) != self.members[record_id]:
            raise ValueError(
                f"record {record_id} must be what it was when the protocol was made, "
                f"{self.members[record_id]}, got {member}"
            )
        return reader

    def records(
        self, role: str, leads: Sequence[str] | None = None, clean_only: bool = False
    ) -> list[EcgRecord]:
        """Return the records of `role`, those without a noise remark with `clean_only`."""
        record_ids = self.record_ids(role)
        loaded = []
        with progress(f"Records of {role}", total=len(record_ids)) as advance:
            for record_id in record_ids:
                loaded.append(self.open(record_id, role, leads).whole())
                advance()
        return [record for record in loaded if record.clean or not clean_only]

    def of_split(self, split: str) -> list[str]:
        """Return the ids a replay of `split` plays: its in-distribution records, all of test.

        Raises
        ------
        ValueError : as `record_ids`.
        """
        return self.record_ids(*(SEALED_ROLES if check_split(split) == "test" else (split,)))

    def noise(self, role: str, folder: Path) -> RecordedNoise:
        """Return the recorded noise that may be added to records of `role`.

        Training, selection and test draw from stretches of the recordings that lie apart.

        Parameters
        ----------
        folder : of the Noise Stress Test database.

        Raises
        ------
        ValueError : `role` is unknown or sealed, or calibration, which is on clean records.
        """
        self._check_open(role)
        if role == "calibration":
            raise ValueError(
                "noise must not be in calibration records, thresholds are for clean ones"
            )
        if role in SELECTION_ROLES:
            return RecordedNoise(folder, "validation")
        return RecordedNoise(folder, "test" if role in SEALED_ROLES else "train")

    def opened_for(self, candidate: Candidate) -> "LeaveOneOut":
        """Return this protocol with its test roles open for the one `candidate`; logs which."""
        return replace(self, candidate=candidate)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return records and patients of every role; counting opens nothing."""
        roles = {record_id: self.role_of(record_id) for record_id in self.members}
        records = Counter(roles.values())
        patients = Counter(
            role for role, _ in {(r, self.members[i].subject_id) for i, r in roles.items()}
        )
        return {role: {"records": records[role], "patients": patients[role]} for role in ROLES}

    def _check_open(self, role: str) -> None:
        if role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}, got {role}")
        if role in SEALED_ROLES and self.candidate is None:
            raise ValueError(
                f"role {role} is sealed until the candidate to test is fixed: "
                "protocol.opened_for(Candidate(name, sha256))"
            )

    def _diagnosis(self, record_id: str) -> str:
        carried = self.members[record_id].superclasses
        held_out = f", held out: {self.hold_out}" if self.hold_out else ""
        return f"carries {', '.join(sorted(carried)) or 'no superclass'}{held_out}"

    def _need(self, roles: Sequence[str]) -> str:
        """Say where records of `roles` come from, and what to do where there is no fold 10."""
        if set(roles) & set(SEALED_ROLES):
            fold = "the test third of fold 9" if self.rehearsal else "fold 10"
            advice = "" if self.rehearsal else "; a rehearsal tests on a third of fold 9 instead"
            return f"records in {fold} of {self.dataset.name}, none is on disk{advice}"
        folds = "folds 1-8" if roles == ("train",) else "fold 9"
        return f"records in {folds} of {self.dataset.name}, none on disk has that role"


def leave_one_out(
    dataset: Dataset,
    hold_out: str | None,
    labels: str = "multi",
    surrogate: str | None = None,
    rehearsal: bool = False,
) -> LeaveOneOut:
    """Return who trains, calibrates, validates and tests when `hold_out` is never to be seen.

    Folds 1-8 train, the patients of fold 9 are halved into calibration and validation, fold 10
    tests. All is by patient: no subject is in two splits.

    Parameters
    ----------
    dataset : open data set; its listing is read once, for subjects, folds and superclasses.
    hold_out : the superclass that nothing may see before the test; None holds none out.
    labels : which records are *scored* (validation, surrogate, test, unseen). "multi": unseen is a
        record that carries `hold_out`, whatever else it carries. "single": only records with
        exactly one superclass are scored, so unseen is a record that carries `hold_out` alone. What
        is fitted, train and calibration, is the same in both: one bundle has both figures.
    surrogate : for selection: a second superclass, left out of train, calibration and validation
        too; its validation records stand in for the unseen class. Such a protocol has no test.
    rehearsal : test on a third of fold 9's patients, and leave fold 10 alone.

    Raises
    ------
    ValueError : a setting is not one there is, `surrogate` is `hold_out`, or a subject is in two
        splits.
    """
    members = dict(dataset.members())
    assert_disjoint((member.subject_id, member.fold) for member in members.values())
    return LeaveOneOut(dataset, hold_out, labels, surrogate, rehearsal, MappingProxyType(members))
