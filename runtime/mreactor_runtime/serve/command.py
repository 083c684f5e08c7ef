"""`mreactor-serve`: parses, opens the model, and serves until a signal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mreactor_ref.command import INTERRUPTED, TERMINATED, Terminated, one_line_errors, orderly_end
from mreactor_ref.data.reading import ReadOptions, reading_options
from mreactor_ref.emotion.options import RecoveryOptions, recovery_options
from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import Solver
from mreactor_runtime.engines.names import AUTO, DEVICES, DTYPES, ENGINES
from mreactor_runtime.sampling_options import not_nan, solver_options
from mreactor_runtime.serve.limits import Limits, limit_options

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="mreactor")
@click.option("--host", default="127.0.0.1", help="Address to listen at; 0.0.0.0 is all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 is any that is free.")
@click.option(
    "--api-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="$MREACTOR_API_KEY, else everybody is let in",
    help="File whose first line is the key that requests must show.",
)
@click.option(
    "-m", "--model", default="mini", help="A shipped name, a checkpoint, or a bundle's folder."
)
@click.option(
    "--engine", "--backend", type=click.Choice(ENGINES), default=AUTO, help="What runs the model."
)
@click.option("--device", type=click.Choice(DEVICES), default=AUTO, help="Where the engine runs.")
@click.option("--dtype", type=click.Choice((AUTO, *DTYPES)), default=AUTO, help="Of the steps.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    show_default="the engine's choice",
    help="CPU threads of the engine.",
)
@click.option("--readers", type=click.IntRange(1, 64), default=1, help="Threads that read clips.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    show_default="what fits, 1 on a CPU",
    help="Clips in one call of the sampler.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 1000),
    default=10,
    help="Reactions to a clip, where a request does not say.",
)
@click.option("--seed", type=int, default=0, help="Where a request does not say.")
@solver_options(Solver())
@click.option(
    "--smoothness",
    type=click.FloatRange(-3, 3),
    default=0.0,
    callback=not_nan,
    help="Of the motion, where a request does not say.",
)
@click.option(
    "--warm-up/--no-warm-up",
    default=True,
    help="Load and try all that a clip needs before listening, not with the first clip.",
)
@limit_options
@reading_options
@recovery_options
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(
    host: str,
    port: int,
    api_key_file: Path | None,
    model: str,
    engine: str,
    device: str,
    dtype: str,
    threads: int | None,
    readers: int,
    batch_size: int | None,
    samples: int,
    seed: int,
    solver: dict[str, Any],
    smoothness: float,
    warm_up: bool,
    limits: Limits,
    reading: ReadOptions,
    recovery: RecoveryOptions,
    quiet: bool,
    debug: bool,
) -> None:
    """Serve reactions over HTTP.

    POST a clip to /v1/reactions, as files in a form or as features in JSON, and get its reactions,
    in any form of mreactor-convert; or a job to ask for. /docs explains all of it, /health/live and
    /health/ready are for who watches over it, /metrics for Prometheus.

    SIGTERM and Ctrl-C end it in order: it takes no more clips, and answers those that it took.

    Exit codes: 0 ended in order; 2 usage; 130 (Ctrl-C) and 143 (SIGTERM) ended while clips were
    not answered; 5 a model's file is damaged; 1 anything else.
    """
    with one_line_errors(debug), orderly_end():
        require_packages()
        from mreactor_ref.data.reading import check_faces, open_hearing
        from mreactor_ref.emotion.options import open_recovery
        from mreactor_runtime.reactor import Reactor
        from mreactor_runtime.serve.app import create_app
        from mreactor_runtime.serve.keys import find_key
        from mreactor_runtime.serve.server import listen, serve_until_signal
        from mreactor_runtime.serve.service import Service

        def say(text: str) -> None:
            if not quiet:
                click.echo(text, err=True)

        key = find_key(api_key_file)
        check_faces(reading)
        sampling = {"samples": samples, "seed": seed, "smoothness": smoothness, **solver}
        with listen(host, port) as listener:
            source = open_recovery(recovery)
            reactor = Reactor.open(model, engine, threads, device, source, dtype, **sampling)
            hear = open_hearing(reading, reactor.engine.device.type)
            for note in reactor.notes:
                say(note)
            if key is None and host not in LOOPBACK:
                say(f"No key is set: whoever reaches {host} is let in (--api-key-file)")
            extent = readers, batch_size, warm_up
            with Service(reactor, limits, reading, hear, *extent) as service:
                try:
                    serve_until_signal(create_app(service, key), service, listener, say)
                except KeyboardInterrupt as stop:
                    sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)


def require_packages() -> None:
    """Raises UsageError where the extra is not installed."""
    from importlib.util import find_spec

    if lacking := [name for name in ("fastapi", "uvicorn", "multipart") if find_spec(name) is None]:
        fix = 'pip install "mreactor[serve]"'
        raise UsageError(f"{lacking[0]} is not installed", fix=fix)
