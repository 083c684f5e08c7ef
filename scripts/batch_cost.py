"""Says what many clips cost, by the measured figures of a run over some, and of its packed forms.

mreactor-infer -i clips -o reactions
mreactor-convert reactions --to webdataset,parquet --output packed
python scripts/batch_cost.py reactions packed --clips 1000000
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from mreactor_runtime.forms import PACKED
from mreactor_runtime.run.manifest import DONE, read_lines
from mreactor_runtime.run.shard import MANIFEST, RUN
from mreactor_runtime.run.summary import STAGES

GIGABYTE = 1e9
SHARD_BYTES = 256e6  # of mreactor-convert


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.argument("packed", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--clips", default=1_000_000, help="How many.")
def main(run: Path, packed: Path | None, clips: int) -> None:
    """Print hours, bytes and files of so many clips like those of RUN."""
    record = json.loads((run / RUN).read_text())
    done = [line for line in read_lines(run / MANIFEST) if line["status"] == DONE]
    if record["kept"] or not done:
        raise click.UsageError("the run must have done all of its clips itself: use --no-resume")
    share = clips / len(done)
    seconds = sum(line["frames"] / line["fps"] for line in done) / len(done)
    click.echo(f"measured on {len(done)} clips of {seconds:.1f} s, {record['device']['name']}")
    click.echo(f"{clips} such clips, on one machine of this kind:")
    click.echo(f"  hours       {record['seconds'] * share / 3600:.0f}")
    for stage in STAGES:
        click.echo(f"    {stage:10}{record['stages'][stage] * share / 3600:.1f} (side by side)")
    results = [run / f"{line['id']}.npz" for line in done]
    npz = sum(path.stat().st_size for path in results)
    manifest = (run / MANIFEST).stat().st_size
    click.echo(f"  npz         {npz * share / GIGABYTE:.0f} GB in {clips} files")
    click.echo(f"  manifest    {manifest * share / GIGABYTE:.1f} GB")
    for form, suffix in PACKED.items() if packed else ():
        assert packed is not None
        size = sum(path.stat().st_size for path in packed.glob(f"*{suffix}"))
        if size:
            files = -(-npz * share // SHARD_BYTES)
            click.echo(f"  {form:12}{size * share / GIGABYTE:.0f} GB in {files:.0f} files")


if __name__ == "__main__":
    main()
