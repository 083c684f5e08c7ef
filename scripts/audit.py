"""Ask whether a vulnerability is known of any package that the tests ran with.

    python scripts/audit.py requirements-tested.txt

It ends with 1 where one is known, else with 0, also where nobody could be asked: it says how many
packages had no answer. The answers are those of pip-audit, which asks PyPI.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

PIP_AUDIT = (
    "--format=json",
    "--progress-spinner=off",
    "--no-deps",
    "--disable-pip",
    "--requirement",
)


@click.command()
@click.argument("requirements", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(requirements: Path) -> None:
    """Ask whether a vulnerability is known of the packages of a file of pinned REQUIREMENTS."""
    command = [sys.executable, "-m", "pip_audit", *PIP_AUDIT, str(requirements)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except ValueError:
        reason = (run.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        click.echo(f"Not checked, for nobody could be asked: {reason}")
        return
    known = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    for package, flaw in known:
        mended = ", ".join(flaw["fix_versions"]) or "no version yet"
        click.echo(f"{package['name']} {package['version']}: {flaw['id']}, mended in {mended}")
    unanswered = sum("skip_reason" in package for package in packages)
    click.echo(
        f"{len(packages)} packages: {len(known)} known vulnerabilities, {unanswered} without answer"
    )
    sys.exit(bool(known))


if __name__ == "__main__":
    main()
