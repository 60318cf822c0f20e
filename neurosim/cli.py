"""The command line: wiring between model files, simulations, results and pictures.

What is slow to import is imported inside the commands, so that ``--help`` stays quick. Every error
of neurosim's own ends in one message on stderr and exit code 2; Ctrl-C in 130.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from neurosim.errors import (
    DivergenceError,
    FileError,
    ModelError,
    NeurosimError,
    StabilityWarning,
)
from neurosim.version import __version__

if TYPE_CHECKING:
    from neurosim.engine.cache import Entry
    from neurosim.experiments.modelfile import ModelFile
    from neurosim.results.runs import Log, Run
    from neurosim.simulation.simulation import Simulation

BAD_INPUT, INTERRUPTED = 2, 130
FORMATS = ("png", "pdf")


class _Group(TyperGroup):
    """Every command's errors and warnings, in one form."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("default", StabilityWarning)
            try:
                return super().invoke(ctx)
            except NeurosimError as error:
                _say(f"error: {error}")
                raise typer.Exit(BAD_INPUT) from None
            except MemoryError as error:
                _say(
                    f"error: not enough memory: {error}; try fewer patterns, less to "
                    "record or a larger `every`"
                )
                raise typer.Exit(BAD_INPUT) from None
            except KeyboardInterrupt:
                _say("interrupted")
                raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learning as a dynamical system: neurons, multiplier units and synapses as ODEs.",
)

Model = Annotated[
    str, typer.Argument(help="A model file, or a built-in model's name (`neurosim models`).")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the model, e.g. flow.rho=2; repeatable.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, data and simulation alike.")]
Backend = Annotated[str | None, typer.Option(help="auto, numpy, cython or standalone.")]


def main() -> None:
    """The console script."""
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
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    model: Model,
    set_: Set = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; default runs/<model name>.")
    ] = None,
    seed: Seed = None,
    backend: Backend = None,
) -> None:
    """Train or relax a model; write results, weights and figures."""
    from neurosim.experiments import modelfile

    spec = modelfile.load(model, _overrides(set_, seed, backend))
    folder = _writable(out or Path(spec.tables.output.folder or Path("runs") / spec.name))
    data, simulation = spec.data(), spec.simulation()
    _own_warnings()
    started = time.perf_counter()
    with _kept_on_divergence(folder):
        result = spec.run(simulation, data, progress=True)
    seconds = time.perf_counter() - started
    _write(spec, simulation, result, folder)
    from neurosim.experiments import report  # not before: a run begins the sooner

    _print(report.rows(spec, data, result, seconds), title=spec.name)
    typer.echo(f"results, weights and figures in {folder}")
    if result.interrupted:
        reached = report.last(result).time
        _say(
            f"interrupted at {reached:g} s of simulated time: what was reached until "
            f"then is in {folder}"
        )
        raise typer.Exit(INTERRUPTED)
    typer.echo(report.closing(simulation, result, folder))


@app.command()
def check(
    model: Model,
    set_: Set = None,
    patterns: Annotated[
        int, typer.Option(min=1, help="How many patterns of the data are used.")
    ] = 8,
    seed: Seed = None,
    backend: Backend = None,
) -> None:
    """Multipliers against backpropagation, the trajectory against SciPy; exit code 1 where they
    differ.
    """
    from rich.console import Console

    from neurosim.analysis.check import check as compare
    from neurosim.experiments import modelfile
    from neurosim.experiments.schema import OF_SIMULATION

    spec = modelfile.load(model, _overrides(set_, seed, backend))
    data, keys = spec.data(), spec.tables.simulation.given(*OF_SIMULATION)
    if keys.pop("transport", "dense") != "dense":
        _say(
            "checked with dense messages: those sent as events follow them to within a "
            "few thresholds"
        )
    if [keys.pop(name) for name in ("imperfections", "prospective") if name in keys]:
        _say(
            "checked without imperfections and look-ahead: neither backpropagation nor "
            "SciPy has any"
        )
    _own_warnings()
    report = compare(spec.network(), spec.flow(), data.X[:patterns], data.Y[:patterns], **keys)
    Console().print(report.table())
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(help="A run.nc or log.nc, or the folder of a sweep.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(help="The picture, .png, .pdf or .svg; repeatable; default beside the file."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of a sweep's picture: phase_diagram, heat_map, ...")
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Of a sweep: what is drawn.")] = None,
    x: Annotated[str | None, typer.Option(help="Of a sweep: the parameter on the x axis.")] = None,
    y: Annotated[str | None, typer.Option(help="Of a sweep: the parameter on the y axis.")] = None,
    columns: Annotated[
        int, typer.Option(help="Of a sweep: width in columns of a page, 1 or 2.")
    ] = 2,
) -> None:
    """Draw the summary of a saved run or log, or the picture that suits a sweep."""
    from neurosim.experiments import sweep_store as sweepstore
    from neurosim.results import files

    paths = out or [file.with_suffix(f".{suffix}") for suffix in FORMATS]
    options = {k: v for k, v in (("measure", measure), ("x", x), ("y", y)) if v is not None}
    if file.is_dir() and sweepstore.is_sweep(file):
        _draw_sweep(sweepstore.read(file), kind, paths, columns, options)
    elif options or kind is not None:
        raise ModelError(
            f"--kind, --measure, --x and --y are of a sweep's pictures, and {file} is none"
        )
    else:
        _draw(files.load(file), paths)
    for path in paths:
        typer.echo(str(path))


def _draw_sweep(
    data: Any, kind: str | None, paths: Sequence[Path], columns: int, options: Mapping[str, str]
) -> None:
    """The picture, and a word on which others there are."""
    import matplotlib as mpl

    mpl.use("Agg")
    from neurosim.plot import sweeps as pictures

    if not (data["outcome"] != "").any():
        raise FileError(
            "no point of the sweep is done yet; try neurosim sweep with the same options, and wait"
        )
    chosen = kind or pictures.choose(data)
    _write_figure(pictures.sweep(data, chosen, columns=columns, **options), paths)
    if kind is None:
        others = ", ".join(k for k in pictures.KINDS if k != chosen)
        typer.echo(
            f"drawn as {chosen}; other pictures by --kind {others}; see --measure, --x, "
            "--y, --columns too"
        )


@app.command(epilog="Example: neurosim study lp --set 'study.models=[\"lp/wine-1\"]' --jobs 2")
def study(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A built-in study, or the path of a study's file; without one, all are listed."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Such as study.seeds=10; repeatable."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same in a minute: fewer seeds, patterns, epochs.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; default runs/studies/<name>.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:PORT.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Of what is there; nothing is measured.")
    ] = False,
) -> None:
    """A question that takes many trainings: table, figure and data; stopped and started anew, it
    goes on.
    """
    import matplotlib as mpl
    from rich.console import Console

    from neurosim.experiments import studies

    if name is None:
        for known, path in studies.built_in().items():
            typer.echo(f"{known:18}{studies.load(path).question}")
        return
    mpl.use("Agg")
    chosen = studies.load(name, set_ or [], quick)
    folder = _writable(out or Path("runs", "studies", chosen.name))
    _own_warnings()
    data, missing = (
        studies.gather(chosen, folder)
        if show
        else studies.run(chosen, folder, jobs=jobs, scheduler=scheduler, progress=True)
    )
    Console().print(chosen.table(data))
    for text in dict.fromkeys(reason for reason in data["reason"].values.ravel() if reason):
        _say(f"without numbers: {text}")
    _say(f"{missing} of {len(chosen.cells)} cells are missing") if missing else None
    for path in studies.write(chosen, data, folder):
        typer.echo(str(path))


@app.command(
    epilog="Example: neurosim sweep xor --grid flow.rho=0.5:4:8 --grid "
    "flow.gamma=0,0.5,1 --repeat 5"
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
        str, typer.Option(help="Comma-separated, e.g. alignment,accuracy.")
    ] = "settle_time",
    repeat: Annotated[
        int | None, typer.Option(min=1, help="So many seeds of the weights, from 0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder (zarr); default runs/<model name>.zarr.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:PORT.")
    ] = None,
    design: Annotated[str, typer.Option(help="grid, random, lhs, sobol or refine.")] = "grid",
    points: Annotated[int | None, typer.Option(help="Of random, lhs and sobol.")] = None,
    rounds: Annotated[int, typer.Option(help="Of refine.")] = 3,
    duration: Annotated[str | None, typer.Option(help="Of each relaxation, e.g. '2 s'.")] = None,
    settle: Annotated[
        float | None, typer.Option(help="max |tau dz/dt| of a settled point.")
    ] = None,
) -> None:
    """Relax a model at many parameter points and measure each; a sweep that was killed goes on
    where it was.
    """
    from neurosim.experiments import designs, modelfile
    from neurosim.experiments import sweep as sweeps

    _own_warnings()
    spec = modelfile.load(model, set_ or [])
    parameters = dict(designs.parse(text) for text in grid or ())
    if repeat is not None:
        parameters["network.seed"] = list(range(repeat))
    folder = out or Path("runs") / f"{spec.name}.zarr"
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = sweeps.sweep(
        spec,
        parameters,
        measure=[m.strip() for m in measure.split(",")],
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
    _print(sweeps.summary(found), title=spec.name)
    typer.echo(f"results in {folder}; neurosim plot {folder} draws them")


@app.command()
def models() -> None:
    """List the built-in models."""
    from neurosim.experiments import modelfile

    for name, path in modelfile.built_in().items():
        typer.echo(f"{name:18}{modelfile.headline(path.read_text(encoding='utf-8'))}")


@app.command(epilog="Example: NEUROSIM_CACHE_SIZE='200 MB' neurosim cache --trim")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove them all.")] = False,
    trim: Annotated[
        bool, typer.Option("--trim", help="Remove those used longest ago, down to the limit.")
    ] = False,
) -> None:
    """Show the compiled programs that are kept for the next run of the same model, or remove them.

    They are in $NEUROSIM_CACHE, else in ~/.cache/neurosim, and take at most $NEUROSIM_CACHE_SIZE,
    else 1 GB. No program that is running is harmed.
    """
    from neurosim.disk import cache_directory
    from neurosim.engine import cache as kept

    folder, limit, before = cache_directory(), kept.limit(), kept.entries()
    if clear or trim:
        freed = kept.clear() if clear else kept.trim()
        typer.echo(f"{len(before) - len(kept.entries())} removed, {_bytes(freed)} freed")
        return
    size = sum(entry.size for entry in before)
    typer.echo(f"{folder}: {len(before)} programs, {_bytes(size)} of at most {_bytes(limit)}")
    if before:
        _print_entries(before)


def _print_entries(entries: Sequence[Entry]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("program", "size", "last used", box=SIMPLE_HEAD)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        table.add_row(
            Text(entry.about), Text(_bytes(entry.size), no_wrap=True), Text(used, no_wrap=True)
        )
    Console().print(table)


def _bytes(count: float) -> str:
    """Three digits and a unit: 144 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _overrides(given: list[str] | None, seed: int | None, backend: str | None) -> list[str]:
    overrides = list(given or ())
    if seed is not None:
        overrides += [f"{table}.seed={seed}" for table in ("network", "data", "simulation")]
    if backend is not None:
        overrides.append(f"simulation.backend={backend}")
    return overrides


def _writable(folder: Path) -> Path:
    """The folder, made and tried, so that a long run does not end at a closed door."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-") as trial:
            trial.write(b"0" * 4096)
            trial.flush()
    except OSError as error:
        raise FileError(
            f"cannot write into folder {str(folder)!r}: {error.strerror or error}; try --out"
        ) from error
    return folder


@contextmanager
def _kept_on_divergence(folder: Path) -> Iterator[None]:
    """What a diverging run had recorded is written beside older results, under its own name."""
    try:
        yield
    except DivergenceError as error:
        if error.run is not None:
            from neurosim.results import files

            files.save(error.run, folder / "diverged.nc")
            _say(f"what was recorded until then is in {folder / 'diverged.nc'}")
        raise


def _write(spec: ModelFile, simulation: Simulation, result: Run | Log, folder: Path) -> None:
    """Weights first, figures last: if the disk fills up, what matters most is there."""
    from neurosim.disk import replacing
    from neurosim.experiments import modelfile
    from neurosim.results import files
    from neurosim.results.runs import Run

    simulation.save_weights(folder / "weights.npz")
    files.save(result, folder / ("run.nc" if isinstance(result, Run) else "log.nc"))
    header = f"# {spec.comment or spec.name}\n# As neurosim {__version__} ran it, overrides included.\n\n"
    with replacing(folder / "model.toml") as path:
        path.write_text(header + modelfile.dump(spec.effective()), encoding="utf-8")
    _draw(
        result, [folder / f"summary.{suffix}" for suffix in spec.tables.output.formats or FORMATS]
    )


def _draw(result: Run | Log, paths: Sequence[Path]) -> None:
    """One figure, laid out once, in every format that is asked for."""
    import matplotlib as mpl

    mpl.use("Agg")
    from neurosim import plot as pictures

    _formats(paths)
    _write_figure(pictures.summary(result), paths)


def _formats(paths: Sequence[Path]) -> list[str]:
    from neurosim.errors import unknown

    formats = [path.suffix.lstrip(".").lower() for path in paths]
    for suffix in formats:
        if suffix not in ("png", "pdf", "svg"):
            raise unknown("format of a picture", suffix, ("png", "pdf", "svg"))
    return formats


def _write_figure(figure: Any, paths: Sequence[Path]) -> None:
    from neurosim.disk import replacing

    formats = _formats(paths)
    for path, suffix in zip(paths, formats, strict=True):
        with replacing(path) as new:
            figure.savefig(new, format=suffix, dpi=150)
        figure.set_layout_engine("none")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _own_warnings() -> None:
    """To be called before a simulation runs: the engine's Brian2, once imported, sends all warnings
    to its log.
    """
    import neurosim.engine  # noqa: F401

    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


def _print(rows: dict[str, str], title: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_header=False, title=title, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)
