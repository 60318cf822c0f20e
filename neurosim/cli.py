"""The command line: wiring between model files, simulations, results and pictures.

Slow imports stand inside the commands, so that ``--help`` stays quick. Every `NeurosimError` ends
in one message on standard error and exit code 2, Ctrl-C in exit code 130. SIGTERM and SIGHUP keep
what Ctrl-C keeps, and end in exit codes 143 and 129.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from neurosim.engine.signals import STATUS, terminable
from neurosim.errors import (
    DivergenceError,
    FileError,
    ModelError,
    NeurosimError,
    StabilityWarning,
)
from neurosim.version import __version__

if TYPE_CHECKING:
    from neurosim.keeping import Entry

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
RUNS = Path("runs")  # the folder of all results


class _Group(TyperGroup):
    """All commands; they report errors and warnings in one form."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings(), terminable() as ended:
            warnings.simplefilter("default", StabilityWarning)
            try:
                return super().invoke(ctx)
            except typer.Exit as left:
                if left.exit_code == INTERRUPTED and ended.received is not None:
                    raise typer.Exit(STATUS + ended.received) from None
                raise
            except NeurosimError as error:
                _note(f"error: {error}")
                raise typer.Exit(BAD_INPUT) from None
            except MemoryError as error:
                _note(
                    f"error: not enough memory: {error}; "
                    "try fewer patterns, less to record or a larger `every`"
                )
                raise typer.Exit(BAD_INPUT) from None
            except KeyboardInterrupt:
                if ended.received is None:
                    _note("interrupted")
                    raise typer.Exit(INTERRUPTED) from None
                _note(f"ended by {Signals(ended.received).name}")
                raise typer.Exit(STATUS + ended.received) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learning as a dynamical system: neurons, multiplier units and synapses as ODEs.",
)

Model = Annotated[
    str, typer.Argument(help="A model file, or the name of a built-in model (`neurosim models`).")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a key of the model, e.g. flow.rho=2; repeatable."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, data and simulation.")]
Backend = Annotated[str | None, typer.Option(help="auto, numpy, cython or standalone.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of worker processes.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:PORT.")
]


def main() -> None:
    """Run the console script."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neurosim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: neurosim run xor --set flow.rho=2 --seed 3")
def run(
    model: Model,
    set_: Set = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; default runs/<model name>.")
    ] = None,
    seed: Seed = None,
    backend: Backend = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Keep a checkpoint of the training in this file.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on from a checkpoint, with the same model and data.")
    ] = None,
) -> None:
    """Train or relax a model; write results, weights and figures."""
    from neurosim.experiments import modelfile, output

    spec = modelfile.load(model, _overrides(set_, seed, backend))
    given = spec.tables.output.folder
    folder = out or output.default(RUNS / spec.name if given is None else Path(given))
    output.writable(folder)
    data, simulation = spec.data(), spec.simulation()
    _show_own_warnings()
    started = time.perf_counter()
    with _kept_on_divergence(folder):
        result = spec.run(simulation, data, progress=True, checkpoint=checkpoint, resume=resume)
    seconds = time.perf_counter() - started
    output.write_run(spec, simulation, result, folder)
    from neurosim.experiments import report  # only now, so that the run begins sooner

    output.print_rows(report.rows(spec, data, result, seconds), title=spec.name)
    typer.echo(f"results, weights and figures in {folder}")
    if result.interrupted:
        reached = report.last(result).time
        _note(f"interrupted at {reached:g} s of simulated time: results until then are in {folder}")
        if checkpoint is not None and checkpoint.exists():
            _note(f"the same command with --resume {checkpoint} goes on from the last checkpoint")
        raise typer.Exit(INTERRUPTED)
    typer.echo(report.closing(simulation, result, folder))


@app.command(epilog="Example: neurosim check xor --patterns 2")
def check(
    model: Model,
    set_: Set = None,
    patterns: Annotated[int, typer.Option(min=1, help="Number of patterns to use.")] = 8,
    seed: Seed = None,
    backend: Backend = None,
) -> None:
    """Compare multipliers with backpropagation, and the trajectory with SciPy.

    The exit code is 1 if they differ.
    """
    from rich.console import Console

    from neurosim.analysis.check import check as compare
    from neurosim.experiments import modelfile
    from neurosim.experiments.schema import OF_SIMULATION

    spec = modelfile.load(model, _overrides(set_, seed, backend))
    data, keys = spec.data(), spec.tables.simulation.given(*OF_SIMULATION)
    if keys.pop("transport", "dense") != "dense":
        _note(
            "checked with dense messages: "
            "those sent as events follow them to within a few thresholds"
        )
    if {"imperfections", "prospective"} & set(keys):
        _note(
            "checked without imperfections and prospective messages: "
            "the references, backpropagation and SciPy, do not model them"
        )
    for name in ("imperfections", "prospective"):
        keys.pop(name, None)
    keys["extensions"] = spec.extensions()
    _show_own_warnings()
    report = compare(spec.network(), spec.flow(), data.X[:patterns], data.Y[:patterns], **keys)
    Console().print(report.table())
    raise typer.Exit(0 if report.passed else FAILED)


@app.command(epilog="Example: neurosim explore deep --set flow.rho=4")
def explore(
    model: Annotated[
        str, typer.Argument(help="A model file, the name of a built-in model, or a run.nc.")
    ] = "deep",
    set_: Set = None,
    data: Annotated[str | None, typer.Option(help="A .csv or .npz file, or a data set.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show a model while it runs, on a page in the browser, and change it there."""
    from neurosim.explorer import commands

    _show_own_warnings()
    commands.run(model, set_ or [], data, port=port, browser=browser)


@app.command(epilog="Example: neurosim plot runs/xor/log.nc --out xor.svg")
def plot(
    file: Annotated[Path, typer.Argument(help="A run.nc or log.nc, or the folder of a sweep.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(help="A .png, .pdf or .svg file; repeatable; default beside the input."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Picture of a sweep: phase_diagram, heat_map, ...")
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Measure of a sweep to draw.")] = None,
    x: Annotated[str | None, typer.Option(help="Parameter of a sweep on the x axis.")] = None,
    y: Annotated[str | None, typer.Option(help="Parameter of a sweep on the y axis.")] = None,
    columns: Annotated[
        int, typer.Option(help="Width of a sweep's picture in columns of a page, 1 or 2.")
    ] = 2,
) -> None:
    """Draw the summary of a saved run or log, or the picture that suits a sweep."""
    from neurosim.experiments import output, sweep_store
    from neurosim.results import files

    paths = out or output.pictures_beside(file)
    given = {"measure": measure, "x": x, "y": y}
    options = {name: value for name, value in given.items() if value is not None}
    if file.is_dir() and sweep_store.is_sweep(file):
        _draw_sweep(sweep_store.read(file), kind, paths, columns, options)
    elif options or kind is not None:
        raise ModelError(
            f"--kind, --measure, --x and --y belong to pictures of sweeps; {file} is not a sweep"
        )
    else:
        output.save_summary(files.load(file), paths)
    for path in paths:
        typer.echo(str(path))


def _draw_sweep(
    data: Any, kind: str | None, paths: Sequence[Path], columns: int, options: Mapping[str, str]
) -> None:
    """Draw a sweep; if no kind was given, name the other kinds."""
    from neurosim.experiments import output

    output.draw_without_display()
    from neurosim.plot import sweeps as pictures

    done = int((data["outcome"] != "").sum())
    if not done:
        raise FileError(
            f"{done} of {data['outcome'].size} points of the sweep are done; "
            "try neurosim sweep with the same options, and wait"
        )
    chosen = kind or pictures.choose(data, options.get("measure"))
    output.save_figure(pictures.sweep(data, chosen, columns=columns, **options), paths)
    if kind is None:
        others = ", ".join(other for other in pictures.KINDS if other != chosen)
        typer.echo(
            f"drawn as {chosen}; other pictures: --kind {others}; "
            "see also --measure, --x, --y and --columns"
        )


@app.command(epilog="Example: neurosim study lp --set 'study.models=[\"lp/wine-1\"]' --jobs 2")
def study(
    name: Annotated[
        str | None,
        typer.Argument(help="A built-in study, or the file of one; if omitted, list all."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a key, e.g. study.seeds=10; repeatable."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer seeds, patterns and epochs: takes a minute."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; default runs/studies/<name>.")
    ] = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show the results so far; measure nothing.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="Folder for numbers, table and picture of a page.")
    ] = None,
) -> None:
    """Answer a question that takes many trainings, with table, figure and data.

    A study that was stopped resumes.
    """
    from rich.console import Console

    from neurosim.experiments import output, studies

    if name is None:
        for known, path in studies.built_in().items():
            typer.echo(f"{known:18}{studies.load(path).question}")
        return
    output.draw_without_display()
    chosen = studies.load(name, set_ or [], quick)
    folder = output.writable(out or output.default(RUNS / "studies" / chosen.name))
    _show_own_warnings()
    if show:
        data, missing = studies.gather(chosen, folder)
    else:
        data, missing = studies.run(chosen, folder, jobs=jobs, scheduler=scheduler, progress=True)
    Console().print(chosen.table(data))
    typer.echo(studies.spread_note(data))
    for reason in dict.fromkeys(data["reason"].values.ravel()):
        if reason:
            _note(f"without numbers: {reason}")
    if missing:
        _note(f"{missing} of {len(chosen.cells)} cells are missing")
    for path in studies.write(chosen, data, folder, page=page):
        typer.echo(str(path))


@app.command(
    epilog="Example: neurosim sweep xor --grid flow.rho=0.5:4:8 "
    "--grid flow.gamma=0,0.5,1 --repeat 5"
)
def sweep(
    model: Model,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES", help="FIRST:LAST:COUNT[:log], or VALUE,VALUE,...; repeatable."
        ),
    ] = None,
    set_: Set = None,
    measure: Annotated[
        str, typer.Option(help="Measures, separated by commas, e.g. alignment,accuracy.")
    ] = "settle_time",
    repeat: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds of the weights, from 0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder (zarr); default runs/<model name>.zarr.")
    ] = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    design: Annotated[str, typer.Option(help="grid, random, lhs, sobol or refine.")] = "grid",
    points: Annotated[
        int | None, typer.Option(help="Number of points of random, lhs and sobol.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Number of rounds of refine.")] = 3,
    duration: Annotated[
        str | None, typer.Option(help="Length of each relaxation, e.g. '2 s'.")
    ] = None,
    settle: Annotated[
        float | None, typer.Option(help="max |tau dz/dt| below which a point has settled.")
    ] = None,
) -> None:
    """Relax a model at many parameter points and measure each.

    A sweep that was killed resumes.
    """
    from neurosim.experiments import designs, modelfile, output
    from neurosim.experiments import sweep as sweeps

    _show_own_warnings()
    spec = modelfile.load(model, set_ or [])
    parameters = dict(designs.parse(text) for text in grid or ())
    if repeat is not None:
        parameters["network.seed"] = list(range(repeat))
    folder = out or output.default(RUNS / f"{spec.name}.zarr")
    output.check_links(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = sweeps.sweep(
        spec,
        parameters,
        measure=[name.strip() for name in measure.split(",")],
        out=folder,
        jobs=jobs,
        scheduler=scheduler,
        design=design,
        points=points,
        rounds=rounds,
        duration=duration,
        settle=settle,
        progress=True,
    )
    output.print_rows(sweeps.summary(found), title=spec.name)
    typer.echo(f"results in {folder}; neurosim plot {folder} draws them")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Print this model file.")] = None,
) -> None:
    """List the built-in models, or print one of them."""
    from neurosim.experiments import modelfile

    if name is not None:
        typer.echo(modelfile.text_of(modelfile.find(name)).rstrip())
        return
    for own, path in modelfile.built_in().items():
        typer.echo(f"{own:18}{modelfile.headline(path.read_text(encoding='utf-8'))}")


@app.command(epilog="Example: NEUROSIM_CACHE_SIZE='200 MB' neurosim cache --trim")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of them.")] = False,
    trim: Annotated[
        bool, typer.Option("--trim", help="Remove the least recently used, down to the limit.")
    ] = False,
) -> None:
    """Show or remove the compiled programs and the data sets that are kept for later runs.

    They are in $NEUROSIM_CACHE, else in ~/.cache/neurosim, and take at most $NEUROSIM_CACHE_SIZE,
    else 1 GB. Removing them does not harm a program that is running.
    """
    from neurosim import keeping
    from neurosim.results.capacity import size_text

    folder, limit, before = keeping.cache_directory(), keeping.limit(), keeping.entries()
    if clear or trim:
        freed = keeping.clear() if clear else keeping.trim()
        typer.echo(f"{len(before) - len(keeping.entries())} removed, {size_text(freed)} freed")
        return
    size = sum(entry.size for entry in before)
    typer.echo(f"{folder}: {len(before)} kept, {size_text(size)} of at most {size_text(limit)}")
    if before:
        _print_entries(before)


def _print_entries(entries: Sequence[Entry]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from neurosim.results.capacity import size_text

    table = Table("kept", "size", "last used", box=SIMPLE_HEAD)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        size = Text(size_text(entry.size), no_wrap=True)
        table.add_row(Text(entry.about), size, Text(used, no_wrap=True))
    Console().print(table)


def _overrides(given: list[str] | None, seed: int | None, backend: str | None) -> list[str]:
    """Return all overrides in the form of ``--set``."""
    overrides = list(given or ())
    if seed is not None:
        overrides += [f"{table}.seed={seed}" for table in ("network", "data", "simulation")]
    if backend is not None:
        overrides.append(f"simulation.backend={backend}")
    return overrides


@contextmanager
def _kept_on_divergence(folder: Path) -> Iterator[None]:
    """Write the log or samples of a run that diverges to diverged.nc; keep older results."""
    try:
        yield
    except DivergenceError as error:
        reached = error.run if error.log is None else error.log
        if reached is not None:
            from neurosim.results import files

            kind = "samples" if error.log is None else "the log"
            files.save(reached, folder / "diverged.nc")
            _note(f"{kind} until then: {folder / 'diverged.nc'}")
        raise


def _note(text: str) -> None:
    """Print a line on standard error."""
    typer.echo(text, err=True)


def _show_own_warnings() -> None:
    """Print all further warnings as notes; call this before a simulation runs."""
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _note(f"warning: {message}")
