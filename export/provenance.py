"""Which state of this checkout made something."""

import subprocess
from pathlib import Path


def commit() -> str:
    """Return the checkout's commit, with "-dirty" where files differ; "unknown" without git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"
