"""`python -m service serve`. A door: reads arguments and the environment."""

import gc
import logging
import sys
from typing import Annotated, NoReturn

import typer

import model
from service import server, settings
from service.app import create_app

log = logging.getLogger("ruse.service")
# A traceback with its locals would print texts.
cli = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

UNUSABLE = 2  # exit code: settings, model or address cannot be used


@cli.callback()
def main() -> None:
    """Serve the model over HTTP."""


@cli.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else RUSE_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; else RUSE_PORT, else 8000; 0 takes a free one."),
    ] = None,
) -> None:
    """Answer requests until SIGTERM. Settings come from RUSE_ variables, see docs/api.md."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        chosen = settings.load(host=host, port=port)
        classifier = model.load(chosen.models)
    except (settings.SettingsError, model.ModelError) as error:
        refuse(error.code, str(error))
    for name in settings.unknown():
        log.warning("%s is no setting of the service; it is ignored", name)
    try:
        listener = server.listen(chosen.host, chosen.port)
    except OSError as error:
        where = f"{chosen.host} port {chosen.port}"
        refuse("address_unusable", f"{where}: {error.strerror}; choose another --host or --port")
    log.info("model %s listens on %s", classifier.manifest.version, server.url(listener))
    serving = server.create_server(create_app(classifier, chosen), chosen)
    gc.collect()
    gc.freeze()  # what is here stays; to scan it again and again would stall large requests
    try:
        serving.run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def refuse(code: str, message: str) -> NoReturn:
    """Ends the process with what is wrong on standard error."""
    print(f"{code}: {message}", file=sys.stderr)
    raise typer.Exit(UNUSABLE)


if __name__ == "__main__":
    cli(prog_name="python -m service")
