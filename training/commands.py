"""Commands of `python -m training` that make a model take over: retrain, promote, rollback."""

from pathlib import Path
from typing import Annotated

import typer

from training import promote as shelf

Models = Annotated[
    Path, typer.Option("--models", envvar="RUSE_MODELS", help="Folder of promoted models.", file_okay=False)
]
Because = Annotated[str | None, typer.Option(help="Your reason; it is noted with your name.")]


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
