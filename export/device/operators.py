"""Which operators an image links: those of its networks, unless it is to take other ones later."""

from collections.abc import Iterable

from ..layers import Op

ALL_OPERATORS = "kernels/operators.c"
"""The table of every operator, a file of the firmware."""


def operator_table(operators: Iterable[Op]) -> str:
    """Return C that takes the place of `ALL_OPERATORS` and names these operators alone."""
    rows = (f"    [BG_OP_{op.name}] = bg_{op.name.lower()}_s8,\n" for op in sorted(set(operators)))
    return (
        "/* made from the operators of the image's networks, do not edit */\n"
        '#include "kernels/kernels.h"\n\n'
        "const bg_kernel bg_operators[BG_OP_COUNT] = {\n" + "".join(rows) + "};\n"
    )
