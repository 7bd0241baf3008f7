"""Remake the stored references: each ``r/x.R`` writes ``reference/x.json``.

Run as ``python -m tests.parity.make_references [NAME ...]``; needs Rscript on the PATH.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    rscript = shutil.which("Rscript")
    if rscript is None:
        sys.stderr.write("Rscript is not on the PATH; the stored references stay as they are.\n")
        return 1
    scripts = sorted(path for path in (HERE / "r").glob("*.R") if path.stem != "common")
    for script in scripts:
        if names and script.stem not in names:
            continue
        target = HERE / "reference" / f"{script.stem}.json"
        sys.stdout.write(f"{script.name} -> {target.name}\n")
        subprocess.run([rscript, script.name, str(target)], cwd=script.parent, check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
