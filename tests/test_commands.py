"""`python -m service` keys, export, backup and restore, and the start that refuses without a key."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.__main__ import cli
from tests.test_serve import refused, served


def run(folder: Path, *words: str, code: int = 0, database: str | None = None) -> Any:
    """Runs a command on the store in the folder; it must end with this exit code."""
    variables: dict[str, str | None] = {n: None for n in os.environ if n.startswith("RUSE_")}
    variables["RUSE_DATABASE"] = database or f"sqlite:///{folder}/ruse.sqlite3"
    done = CliRunner().invoke(cli, words, env=variables)
    assert done.exit_code == code, done.stderr
    return done


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    """A key is shown once on standard output, listed without its secret, and revoked by its id."""
    made = run(tmp_path, "keys", "create", "desk 4", "--scope", "report", "--scope", "review", "--days", "9")
    secret = made.stdout.strip()
    assert secret.startswith("ruse_")
    assert secret not in made.stderr
    (line,) = run(tmp_path, "keys", "list").stdout.splitlines()
    key, state, until, scopes, name = line.split("\t")
    assert (state, scopes, name) == ("valid", "report,review", "desk 4")
    assert until.endswith("Z")
    assert secret not in line
    run(tmp_path, "keys", "revoke", key)
    assert "\trevoked\t" in run(tmp_path, "keys", "list").stdout
    assert run(tmp_path, "keys", "revoke", key, code=2).stderr.startswith("key_unknown: ")
    wrong = run(tmp_path, "keys", "create", "x", "--scope", "kestrel", code=2)
    assert wrong.stderr.startswith("scope_unknown: ")


def test_other_machines_need_a_key(small_model: Path, tmp_path: Path) -> None:
    """An address that others can reach is refused without a key; one has its rate over all workers."""
    said = refused("--host", "0.0.0.0", "--port", "0", RUSE_MODELS=str(small_model))
    assert said.startswith("keys_missing: ")
    assert "keys create" in said
    secret = run(tmp_path, "keys", "create", "ann", "--scope", "classify").stdout.strip()
    settings = {"RUSE_HOST": "0.0.0.0", "RUSE_WORKERS": "2", "RUSE_RATE_LIMIT": "7"}
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), **settings) as it:
        assert it.client.post("/v1/classify", json={"text": "a"}).status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        answers = []
        for _ in range(20):  # each over a connection of its own, so that both workers get some
            with httpx.Client(base_url=it.client.base_url, trust_env=False, headers=headers) as client:
                answers.append(client.post("/v1/classify", json={"text": "a"}).status_code)
        assert sorted(answers) in ([200] * 7 + [429] * 13, [200] * 14 + [429] * 6)  # a minute may end
        assert secret not in it.log.read_text("utf-8")


def test_what_is_reviewed_is_exported_and_backed_up(small_model: Path, tmp_path: Path) -> None:
    """Export and backup run beside the service; a restore gives back what was there."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model)) as it:
        kept = it.client.post("/v1/reports", json={"text": "快递丢了"}).json()
        it.client.post("/v1/reports", json={"text": "not reviewed"})
        review = {"category": "romance", "reviewer": "ann"}
        it.client.put(f"/v1/reports/{kept['id']}/review", json=review)
        run(tmp_path, "export", str(tmp_path / "reviewed.jsonl"))
        run(tmp_path, "backup", str(tmp_path / "backup"))
    (row,) = map(json.loads, (tmp_path / "reviewed.jsonl").read_text("utf-8").splitlines())
    assert (row["id"], row["text"], row["category"]) == (kept["id"], "快递丢了", "romance")
    again = tmp_path / "again"
    again.mkdir()
    assert "2 reports" in run(again, "restore", str(tmp_path / "backup")).stderr
    run(again, "export", str(again / "reviewed.jsonl"))
    assert (again / "reviewed.jsonl").read_bytes() == (tmp_path / "reviewed.jsonl").read_bytes()
    assert run(again, "restore", str(tmp_path / "backup"), code=2).stderr.startswith("restore_failed: ")
    assert run(again, "export", "/dev/null/x", code=2).stderr.startswith("target_unusable: ")


@pytest.mark.parametrize("url", ["mysql://a", "postgresql://me:kestrel@127.0.0.1:1/none"])
def test_a_store_that_cannot_be_used_is_told_of(tmp_path: Path, url: str) -> None:
    """A wrong or unreachable database ends a command, says why, and shows no password."""
    said = run(tmp_path, "keys", "list", code=2, database=url).stderr
    assert said.startswith("store_unavailable: ")
    assert "kestrel" not in said


def test_a_store_that_cannot_be_used_ends_the_start(small_model: Path) -> None:
    """The service does not start without its store."""
    said = refused("--port", "0", RUSE_MODELS=str(small_model), RUSE_DATABASE="sqlite:////dev/null/x")
    assert said.startswith("store_unavailable: ")
