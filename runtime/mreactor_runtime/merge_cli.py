"""`mreactor-infer merge`: parses, calls `merge_shards`, and says what shards lack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mreactor_ref.command import one_line_errors, orderly_end

if TYPE_CHECKING:
    from mreactor_runtime.run.shard import Shard

NOT_ALL_DONE = 3  # exit code
MOST_NAMED = 20  # shards in one line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("output", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def merge(output: Path, quiet: bool, debug: bool) -> None:
    """Put the manifests of shards together.

    OUTPUT is a folder that runs with --shard have written into. It gets manifest.jsonl, run.json
    and errors.jsonl as one run would have written them. Shards that are missing, unfinished or
    there twice are named; while some lack, their files stay, and it can be done again.

    Exit codes: 0 done; 2 usage; 3 some clips failed, or shards are missing or unfinished; 130
    interrupted (Ctrl-C); 1 anything else.
    """
    with one_line_errors(debug), orderly_end():
        from mreactor_runtime.run.merge import merge_shards

        merged = merge_shards(output)
    for what, shards in (
        ("Missing", merged.missing),
        ("Unfinished", merged.unfinished),
        ("There more than once, in whole or in part", merged.duplicate),
    ):
        if shards:
            click.echo(f"{what}: {_named(shards)}", err=True)
    if not quiet:
        count = len(merged.shards)
        failed = f", {merged.failed} of them failed" if merged.failed else ""
        click.echo(
            f"{count} shard{'s' * (count != 1)} merged{'' if merged.is_whole else ', not all'}: "
            f"{merged.clips} clips{failed}; see {output / 'manifest.jsonl'}"
        )
    if merged.failed or not merged.is_whole:
        raise click.exceptions.Exit(NOT_ALL_DONE)


def _named(shards: Sequence[Shard]) -> str:
    more = f" and {len(shards) - MOST_NAMED} more" if len(shards) > MOST_NAMED else ""
    return "shard " + ", ".join(map(str, shards[:MOST_NAMED])) + more
