"""Data sets from PhysioNet's published files onto this disk: `fetch` them, `verify` them.

`LAYOUTS` says what PhysioNet publishes. None of this reads a recording.
"""

from .checksums import SUMS_NAME, BadFile
from .fetching import Fetched, fetch
from .layouts import LAYOUTS, FileGroup, PublishedLayout, layout_of
from .sources import Patience, Source, source_of
from .verifying import Verified, verify

__all__ = [
    "LAYOUTS",
    "SUMS_NAME",
    "BadFile",
    "Fetched",
    "FileGroup",
    "Patience",
    "PublishedLayout",
    "Source",
    "Verified",
    "fetch",
    "layout_of",
    "source_of",
    "verify",
]
