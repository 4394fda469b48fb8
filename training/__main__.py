"""`python -m training retrain | train | evaluate | …`. A door: options, files, printing."""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from model import artifact, taxonomy
from model.classifier import SHIPPED, load
from model.errors import ModelError
from training import bars, card, commands, corpora, evaluate, fit, suites
from training.corpora import CorpusError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # which would print the texts at hand
    help="Make and measure the model.",
)

Listed = Annotated[Path, typer.Option("--corpora", help="A file like training/corpora.toml.")]
Model = Annotated[Path | None, typer.Option("--model", envvar="RUSE_MODELS", help="Default: shipped.")]
COMPARED = Path(__file__).resolve().parent.parent / "benchmarks" / "compare.json"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@app.command()
def train(
    output: Annotated[Path, typer.Option("--output", help="Folder of the model.")] = Path("build/model"),
    listed: Listed = corpora.LISTED,
    steps: Annotated[int, typer.Option(help="At most so many steps of the solver.")] = fit.Settings.steps,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Held-out scores stay here, and the same run goes on from them."),
    ] = None,
) -> None:
    """Fit, calibrate and save a model from every corpus that may enter a fit."""
    from training import train as make
    from training.plan import machinery

    tree = taxonomy.load()
    chosen = [c for c in corpora.listed(listed).values() if c.use == "fit"]
    examples = corpora.fit_examples(chosen, tree)
    digests = {c.name: corpora.digest(c.files()) for c in chosen}
    settings = fit.Settings(steps=steps)
    if keep:  # scores of another corpus, of other settings or other code are no part of this run
        run = json.dumps([digests, asdict(settings), machinery()]).encode()
        keep /= hashlib.sha256(run).hexdigest()[:12]
    trained = make.train(examples, tree, output, settings, digests, keep=keep)
    print(f"{trained.manifest.version} in {output}")


@app.command("evaluate")
def evaluate_(
    model: Model = None,
    listed: Listed = corpora.LISTED,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    write_card: Annotated[bool, typer.Option("--card", help="Write docs/model-card.md.")] = False,
) -> None:
    """Measure a model on every corpus that is for measuring; those not here are named and skipped."""
    classifier = load(model)
    known = corpora.listed(listed).values()
    here = _measured(known, classifier.taxonomy)
    for corpus in known:
        if corpus.use == "measure" and not corpus.is_here:
            _say(f"skipped {corpus.name}: not here (it is measured only, never shipped)")
    if here:
        _say(f"measured only, never fitted: {', '.join(sorted(c.name for c in here))}")
    reports = {c.name: rows for c, rows in here.items() if not c.label}
    messages = {c.name: rows for c, rows in here.items() if c.label}
    with bars.step("measure"):
        report = evaluate.report(classifier, reports) | suites.report(classifier, reports, messages)
    if as_json:
        print(json.dumps(report, indent=1, ensure_ascii=False, default=vars))
    else:
        print(card.figures(report))
    if write_card:
        if not report["sets"]:
            raise typer.Exit(_refuse("the card needs the measured sets; none is here"))
        compared = json.loads(COMPARED.read_text("utf-8")) if COMPARED.is_file() else None
        card.write(classifier, report, compared)


@app.command()
def calibrate(
    reviews: Annotated[Path, typer.Option(help='JSONL: "text", "category", perhaps "scheme" and "second".')],
    output: Annotated[Path, typer.Option(help="Folder of the model that is written.")],
    model: Model = None,
) -> None:
    """Calibrate a model on a desk's own reviews, without a fit."""
    from training import train as make

    home = artifact.locate(model) if model else SHIPPED
    own = corpora.Corpus("reviews", reviews, "fit", "own", "reviews")
    examples = corpora.read(own, load(home).taxonomy)
    if not examples:
        raise CorpusError([f"{reviews.name}: holds no review; export some first"])
    manifest = make.recalibrate(home, examples, output)
    answered = manifest.calibration["answered"]
    print(
        f"{manifest.version} in {output}: {len(examples)} reviews, {answered['coverage']:.1%} would be "
        f"answered, {answered['right']:.1%} of those right"
    )


@app.command()
def corpus(
    add: Annotated[list[Path] | None, typer.Option("--add", help="Drafts to file as batches.")] = None,
) -> None:
    """Report on the own corpus batch by batch, or file new batches in it."""
    from training import batches

    tree = taxonomy.load()
    if add:
        print(f"{corpora.add(add, tree)} reports added")
        return
    own = corpora.listed()["own"]
    print(batches.report(corpora.read(own, tree)))


@app.command()
def compare(listed: Listed = corpora.LISTED, model: Model = None) -> None:
    """Measure ours against what a user would otherwise do, each fitted on our corpus."""
    from training import compare as others

    classifier = load(model)
    known = corpora.listed(listed)
    examples = corpora.fit_examples([c for c in known.values() if c.use == "fit"], classifier.taxonomy)
    here = _measured(known.values(), classifier.taxonomy)
    measured = {c.name: rows for c, rows in here.items() if not c.label}
    result = others.run(classifier, examples, measured, _say)
    COMPARED.parent.mkdir(exist_ok=True)
    COMPARED.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(card.comparison(result))


app.command()(commands.retrain)
app.command()(commands.promote)
app.command()(commands.rollback)
app.add_typer(commands.audit)


def _measured(
    known: Iterable[corpora.Corpus], tree: taxonomy.Taxonomy
) -> dict[corpora.Corpus, list[corpora.Example]]:
    return {c: corpora.read(c, tree) for c in known if c.use == "measure" and c.is_here}


def _refuse(message: str) -> int:
    _say(message)
    return 2


def main() -> None:
    """Run a command; faults are said in full, without a traceback."""
    try:
        app()
    except CorpusError as error:
        _say("\n".join(f"{error.code}: {fault}" for fault in error.faults))
        sys.exit(2)
    except OSError as error:
        _say(f"unreadable: {error.filename}: {error.strerror}")
        sys.exit(2)
    except ModelError as error:
        _say(f"{error.code}: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
