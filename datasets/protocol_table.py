"""How many records and patients have which role: what `python -m datasets protocol` shows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .dataset import Dataset
from .protocol import LABELS, ROLES, LeaveOneOut, leave_one_out
from .records import SUPERCLASSES

DISEASES = tuple(name for name in SUPERCLASSES if name != "NORM")
SHOWN = tuple(role for role in ROLES if role != "surrogate")
"""Roles with a column of their own; how many records a surrogate has is a column a surrogate."""
LEGEND = """\
mixed: part of the unseen records that also carry another superclass
MI*, ...: validation records that stand in for the unseen class when that surrogate is left out"""


def protocol_rows(
    dataset: Dataset, hold_outs: Sequence[str], labels: Sequence[str] = LABELS, *, rehearsal: bool
) -> list[dict[str, Any]]:
    """Return the counts of every protocol as JSON values, a row a held-out class and variant.

    `roles` has records and patients by role. `unseen_mixed` is the part of the unseen records that
    carry another superclass too, None without unseen records. `surrogates` has the number of
    surrogate records by superclass.

    Raises
    ------
    ValueError : as in `leave_one_out`.
    """
    base = leave_one_out(dataset, None, rehearsal=rehearsal)
    return [
        _row(replace(base, hold_out=hold_out, labels=variant))
        for hold_out in hold_outs
        for variant in labels
    ]


def protocol_text(dataset: Dataset, rows: Sequence[dict[str, Any]]) -> str:
    """Return `rows` as an aligned table under a line that says of what."""
    header = ["held out", "labels", *SHOWN, "mixed", *(f"{name}*" for name in DISEASES)]
    lines = [header]
    for row in rows:
        mixed = row["unseen_mixed"]
        lines.append(
            [
                row["hold_out"],
                row["labels"],
                *(f"{row['roles'][role]['records']:,}" for role in SHOWN),
                "-" if mixed is None else f"{100 * mixed:.0f} %",
                *(f"{row['surrogates'].get(name, '-')}" for name in DISEASES),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    absent = f", {dataset.n_absent:,} of them absent" if dataset.n_absent else ""
    how = "rehearsal: fold 9 in thirds" if rows[0]["rehearsal"] else "fold 10 tests"
    title = f"Records of {dataset.name} by role ({dataset.n_listed:,} listed{absent}; {how})"
    return f"{title}\n{table}\n{LEGEND}"


def _row(protocol: LeaveOneOut) -> dict[str, Any]:
    unseen = [m for i, m in protocol.members.items() if protocol.role_of(i) == "unseen"]
    mixed = sum(len(member.superclasses) > 1 for member in unseen)
    others = [name for name in DISEASES if name != protocol.hold_out]
    counts = {name: replace(protocol, surrogate=name).counts()["surrogate"] for name in others}
    return {
        "hold_out": protocol.hold_out,
        "labels": protocol.labels,
        "rehearsal": protocol.rehearsal,
        "roles": {role: count for role, count in protocol.counts().items() if role in SHOWN},
        "unseen_mixed": mixed / len(unseen) if unseen else None,
        "surrogates": {name: count["records"] for name, count in counts.items()},
    }
