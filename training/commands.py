"""Commands of `python -m training` that make a model take over: retrain, audit, promote, rollback."""

import json
from pathlib import Path
from typing import Annotated

import typer

from model import taxonomy as trees
from model.classifier import load
from model.taxonomy import Taxonomy
from training import audit as doubts
from training import audit_page, collect, corpora, decisions, fit, mine
from training import promote as shelf
from training import retrain as runs
from training.corpora import Corpus, CorpusError
from training.plan import Plan

NOT_PROMOTED = 3  # exit code of a run whose model was not judged fit

Models = Annotated[
    Path, typer.Option("--models", envvar="RUSE_MODELS", help="Folder of promoted models.", file_okay=False)
]
MaybeModels = Annotated[
    Path | None, typer.Option("--models", envvar="RUSE_MODELS", help="Folder of promoted models.")
]
MaybeListed = Annotated[
    Path | None, typer.Option("--corpora", help="A file like training/corpora.toml, the default.")
]
Because = Annotated[str | None, typer.Option(help="Your reason; it is noted with your name.")]
Tree = Annotated[Path | None, typer.Option(help="A taxonomy.toml of yours. Default: the shipped one.")]
audit = typer.Typer(name="audit", help="Find labels that may be wrong; take decisions about them back in.")


def retrain(
    models: MaybeModels = None,
    data: Annotated[list[Path] | None, typer.Option(help="Labelled rows: JSONL, CSV, TSV, Parquet.")] = None,
    reviews: Annotated[list[Path] | None, typer.Option(help="What `service export` wrote.")] = None,
    only_mine: Annotated[bool, typer.Option("--only-mine", help="Leave the shipped corpora out.")] = False,
    listed: Annotated[
        Path | None, typer.Option("--corpora", help="A file like training/corpora.toml.")
    ] = None,
    taxonomy: Tree = None,
    crosswalk: Annotated[str, typer.Option(help="The taxonomy's crosswalk for the labels of --data.")] = "",
    text_column: str = "text",
    label_column: str = "",
    id_column: str = "id",
    group_column: Annotated[str, typer.Option(help="Rows of a group stay on one side of a split.")] = "batch",
    source_column: Annotated[str, typer.Option(help="Who sent the row; measured apart.")] = "source",
    encoding: Annotated[str, typer.Option(help="Of --data, such as gb18030.")] = "utf-8-sig",
    work: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("build/retrain"),
    steps: Annotated[int, typer.Option(help="At most so many steps of the solver.")] = fit.Settings.steps,
    most_bad: Annotated[float, typer.Option(help="Share of rows that may be bad.")] = collect.MOST_BAD,
    because: Because = None,
) -> None:
    """Collect, check, audit, fit, calibrate, evaluate, decide, and promote what is not worse."""
    flat = only_mine and not taxonomy and not crosswalk
    if flat and not label_column:
        label_column = "label"
    if taxonomy and not crosswalk and mine.CROSSWALK in trees.load(taxonomy).crosswalks:
        crosswalk = mine.CROSSWALK
    known = [] if only_mine and not listed else list(corpora.listed(listed or corpora.LISTED).values())
    for path in data or []:
        known.append(Corpus(
            _name(path, known), path, "fit", "yours", path.name, text_column=text_column,
            label_column=label_column, id_column=id_column, group_column=group_column,
            source_column=source_column, crosswalk=mine.CROSSWALK if flat else crosswalk, encoding=encoding,
        ))  # fmt: skip
    for path in reviews or []:
        known.append(Corpus(_name(path, known), path, "fit", "yours", path.name, reviews=True))
    if not any(c.use == "fit" for c in known):
        raise CorpusError(["there is nothing to fit: give --data FILE, or leave --only-mine out"])
    plan = Plan(known, work, models, taxonomy, flat, fit.Settings(steps=steps), most_bad)
    done = runs.run(plan)
    print(f"{done.version}: report in {done.folder / 'report.html'}, audit in {done.folder / 'audit.html'}")
    if not done.promoted:
        print("not fit to be promoted:\n" + "\n".join(f"  {reason}" for reason in done.reasons))
    if models and (done.promoted or because):
        print(f"{shelf.promote(done.folder, models, because)} answers in {models}")
    elif done.promoted:
        print(f"fit; promote it: python -m training promote {done.folder} --models DIR")
    else:
        print(f'all the same: python -m training promote {done.folder} --models DIR --because "…"')
        raise typer.Exit(NOT_PROMOTED)


def _name(path: Path, known: list[Corpus]) -> str:
    if not path.exists():
        raise CorpusError([f"{path}: is not here"])
    taken = {c.name for c in known}
    return next(n for k in range(1, 1000) if (n := path.stem + (f"_{k}" if k > 1 else "")) not in taken)


@audit.command()
def find(
    output: Annotated[Path, typer.Option(help="Folder of audit.jsonl and audit.html.")] = Path("build/audit"),
    listed: Annotated[
        Path, typer.Option("--corpora", help="A file like training/corpora.toml.")
    ] = corpora.LISTED,
    taxonomy: Tree = None,
    most: Annotated[int, typer.Option(help="How many to show on the page.")] = 200,
) -> None:
    """List the examples whose category is doubtful, most doubtful first, by held-out confidence."""
    tree = trees.load(taxonomy)
    rows = corpora.fit_examples(
        [c for c in corpora.listed(listed or corpora.LISTED).values() if c.use == "fit"], tree
    )
    found = doubts.find(*doubts.score(rows, tree, fit.Settings()), tree)
    output.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in found)
    (output / "audit.jsonl").write_text(lines, "utf-8")
    (output / "audit.html").write_text(audit_page.page(found[:most], [], tree), "utf-8")
    print(f"{len(found)} doubtful rows; look at {output / 'audit.html'}")


@audit.command()
def apply(
    decided: Annotated[Path, typer.Argument(help="decisions.jsonl, as the page saves it.")],
    models: Models,
    taxonomy: Tree = None,
) -> None:
    """Take decisions in; every later run with these models obeys them."""
    tree = trees.load(taxonomy) if taxonomy else _current_tree(models)
    print(f"{decisions.add(decided, models / decisions.FILE, tree)} decisions taken in")


def _current_tree(models: Path) -> Taxonomy:
    return load(models).taxonomy if shelf.current(models) else trees.load()


def promote(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `retrain`, or of a model.")],
    models: Models,
    because: Because = None,
) -> None:
    """Make a model the one that answers; one that was not judged fit needs --because."""
    print(f"{shelf.promote(run, models, because)} answers in {models}")


def rollback(models: Models, because: Because = None) -> None:
    """Go back to the model that answered before, in running services too."""
    before, now = shelf.rollback(models, because)
    print(f"{now} answers in {models} again, {before} does no more")
