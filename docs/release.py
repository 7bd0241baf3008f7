"""Tries a release before it is made: ``make release``.

A source distribution and a wheel are built into ``dist``; each is installed in an environment of
its own, and the README's code is run there, in an empty folder, on a file that stands for the
user's. Nothing is uploaded. The list of what is checked by hand is ``docs/release.md``.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HOUSE = Path(__file__).parent.parent
DIST = HOUSE / "dist"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", flags=re.M | re.S)
# The README reads the user's own file; here the example study stands for it.
USERS_FILE = """
from alliance_stats import example_study
example_study().sessions.to_csv("sessions.csv", index=False)
"""


def main() -> int:
    """Build, install and run; return the exit code."""
    for old in DIST.glob("alliance_stats-*"):
        old.unlink()
    _run([sys.executable, "-m", "build", "--outdir", str(DIST), str(HOUSE)])
    code = USERS_FILE + "\n".join(BLOCK.findall((HOUSE / "README.md").read_text(encoding="utf-8")))
    for made in sorted(DIST.glob("alliance_stats-*")):
        _try_out(made, code)
        sys.stdout.write(f"{made.name}: installs, and the README's code runs\n")
    return 0


def _try_out(made: Path, code: str) -> None:
    """Install one distribution in a new environment, and run the code in an empty folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _run([sys.executable, "-m", "venv", str(folder / "env")])
        python = str(next((folder / "env").glob("*/python")))
        pins = str(HOUSE / "constraints.txt")
        _run([python, "-m", "pip", "install", "--quiet", "--constraint", pins, str(made)])
        (folder / "elsewhere").mkdir()
        _run([python, "-W", "error::UserWarning", "-c", code], at=folder / "elsewhere")


def _run(command: Sequence[str], *, at: Path = HOUSE) -> None:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(list(command), cwd=at, env=alone, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
