"""`mreactor-env`: prints versions, engines, devices and caches, for a report of a bug."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mreactor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(as_json: bool) -> None:
    """Print what a report of a bug should hold: versions, engines, devices, models, caches.

    It says nothing of you but the path of the cache folder; nothing is sent anywhere.
    """
    from mreactor_runtime.environment import describe_environment

    facts = describe_environment()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for section, rows in facts.items():
        click.echo(f"{section}:")
        for name, value in rows.items():
            click.echo(f"  {name}: {_shown(value)}")


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
