"""docs/retraining.md: its blocks are run, and a new, a split and a merged scheme are there by evening."""

import json
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import stories

import model
from model import taxonomy
from model.__main__ import main as model_main
from service import telemetry
from service.__main__ import cli
from service.database import Database
from service.desk import Desk, NewReview
from service.store import Store
from tests.serving import serving
from tests.test_store import add
from training import collect, promote
from training.__main__ import app

PAGE = Path(__file__).parent.parent / "docs" / "retraining.md"
BLOCKS = [
    block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
]
KINDS = ("loan_upfront_fee", "parcel_case", "consumer_dispute")
STEPS = ["--steps", "10"]

pytestmark = pytest.mark.usefixtures("small_words")


def block(words: str) -> list[str]:
    """The commands of the block that holds these words."""
    (found,) = [lines for lines in BLOCKS if any(words in line for line in lines)]
    return found


def run(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a command of the page in this process, in a folder; `cp` in a shell."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RUSE_MODELS", raising=False)
    if line.startswith("RUSE_MODELS="):
        setting, line = line.split(" ", 1)
        monkeypatch.setenv("RUSE_MODELS", setting.partition("=")[2])
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "training"]:
        more = STEPS if words[3] == "retrain" else []
        assert not app([*words[3:], *more], standalone_mode=False), line
    elif words[:3] == ["python", "-m", "model"]:
        assert model_main(words[3:]) == 0
    elif words[:4] == ["python", "-m", "service", "export"]:
        assert not cli(words[3:], standalone_mode=False)
    elif words[:4] == ["python", "-m", "service", "relabel"]:
        monkeypatch.setattr(telemetry, "configure_logs", lambda: None)  # to a stream that ends with the test
        assert not cli([*words[3:], "--workers", "1"], standalone_mode=False)
    elif words[:4] == ["python", "-m", "service", "serve"]:
        with serving(model.load("models")) as client:
            assert client.post("/v1/classify", json={"text": "a fee"}).status_code == 200
    else:
        assert words[0] == "cp", line
        subprocess.run(["sh", "-c", line], cwd=folder, check=True)


def rows(path: Path, kinds: tuple[str, ...], n: int = 40, field: str = "scheme") -> None:
    """Writes made-up reports, a batch for every ten."""
    known = [
        {"text": text, field: kind, "batch": f"{path.stem} {at // 10 % 4}"}
        for kind in kinds
        for at, text in enumerate(stories(kind, n))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in known))


def listed(folder: Path, crosswalk: str = "") -> None:
    """A corpora.toml with one corpus."""
    (folder / "corpora.toml").write_text(
        f'[[corpus]]\nname = "ours"\npath = "{folder / "ours.jsonl"}"\nuse = "fit"\nlicence = "ours"\n'
        'origin = "made up"\nlabel_column = "scheme"\n'
        + (f'crosswalk = "{crosswalk}"\n' if crosswalk else "")
    )


def test_your_own_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A table of labels becomes a model with one command, which classifies, serves and is retrained."""
    lines = ["case,narrative,kind"]
    lines += [f"7,{t},{'Loan, upfront' if k == KINDS[0] else k}" for k in KINDS[1:] for t in stories(k, 40)]
    lines += [f'8,{text},"Loan, upfront"' for text in stories(KINDS[0], 40)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    run(
        *block("--only-mine --data mine.csv --text-column narrative --label-column kind --models"),
        tmp_path,
        monkeypatch,
    )
    for line in block("service serve"):
        run(line, tmp_path, monkeypatch)
    run(*block("relabel mine.csv"), tmp_path, monkeypatch)
    again = json.loads((tmp_path / "relabelled" / "_ruse" / "report.json").read_text())
    assert again["rows"] == 120
    assert again["changed"] < 12
    first = promote.current(tmp_path / "models")
    said = capsys.readouterr().out
    assert '"category": "loan_upfront"' in said
    for line in block("cp models"):
        run(line, tmp_path, monkeypatch)
    assert len(promote.history(tmp_path / "models")) in (1, 2)  # the same rows: the same model or its equal
    tree = taxonomy.load(tmp_path / "my.toml")
    assert tree.crosswalks["own_labels"].labels["Loan, upfront"].category == "loan_upfront"
    assert first


def with_scheme(folder: Path, old: str, scheme: str) -> None:
    """Writes my.toml: the shipped tree with one more scheme before an old one."""
    text = (Path(model.__file__).parent / "taxonomy.toml").read_text("utf-8")
    node = (
        f"[[category.scheme]]\nid = '{scheme}'\n"
        "names = { zh-Hans = '换脸通话', zh-Hant = '換臉通話', en = 'Deepfake call' }\n"
        "definition = { en = 'A cloned face asks for money.', zh-Hans = '用换脸视频要钱。' }\n"
        "includes = ['a cloned boss']\nexcludes = ['a mere voice (acquaintance_impersonation)']\n"
        "cues = ['his face was cloned on the video call']\n\n"
    )
    place = text.rindex("[[category.scheme]]", 0, text.index(f"id = '{old}'"))
    (folder / "my.toml").write_text(text[:place] + node + text[place:], "utf-8")


def test_a_new_scheme_in_an_afternoon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Thirty examples of a scheme nobody knew: retrained, judged on its own rows, promoted, named."""
    rows(tmp_path / "ours.jsonl", KINDS)
    listed(tmp_path)
    run("python -m training retrain --corpora corpora.toml --models models", tmp_path, monkeypatch)
    before = promote.current(tmp_path / "models")
    with_scheme(tmp_path, "boss_impersonation", "deepfake_call")
    rows(tmp_path / "new.jsonl", ("deepfake_call",), 30)
    for line in block("--data new.jsonl"):
        run(line, tmp_path, monkeypatch)
    assert promote.current(tmp_path / "models") != before
    with (tmp_path / "ours.jsonl").open("a") as file:  # cases of the new scheme under an old name
        file.writelines(
            json.dumps({"text": t, "scheme": "parcel_case"}) + "\n" for t in stories("deepfake_call", 9, 5)
        )
    run(*block("relabel ours.jsonl"), tmp_path, monkeypatch)
    again = json.loads((tmp_path / "again" / "_ruse" / "report.json").read_text())
    moved = [e["rows"] for e in again["flow"] if (e["old"], e["new"]) == ("parcel_case", "deepfake_call")]
    assert moved == [9]
    assert '"scheme": "deepfake_call"' in capsys.readouterr().out
    (report,) = (tmp_path / "models" / str(promote.current(tmp_path / "models"))).glob("report.json")
    judged = json.loads(report.read_text())["contest"]["new_schemes"]["deepfake_call"]
    assert judged["rows"] >= 24
    assert judged["right"] >= judged["rows"] / 2
    with serving(model.load(tmp_path / "models"), models=tmp_path / "models", model_poll=0.1) as client:
        for line in block("training rollback")[1:]:
            run(line, tmp_path, monkeypatch)
        assert client.post("/v1/model/reload").json()["after"] == before


def test_a_split_and_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions move rows to the new half of a scheme; a crosswalk sends a dropped scheme's rows on."""
    rows(tmp_path / "ours.jsonl", (*KINDS, "online_lover"))
    listed(tmp_path)
    run("python -m training retrain --corpora corpora.toml --models models", tmp_path, monkeypatch)
    with_scheme(tmp_path, "parcel_case", "video_parcel_case")
    decided = [
        {"key": collect.key(text), "decision": "video_parcel_case"}
        for text in stories("parcel_case", 40)
        if "video" in text
    ]
    (tmp_path / "decisions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in decided))
    run(
        "python -m training audit apply decisions.jsonl --models models --taxonomy my.toml",
        tmp_path,
        monkeypatch,
    )
    command = (
        "python -m training retrain --taxonomy my.toml --corpora corpora.toml --models models --because split"
    )
    run(command, tmp_path, monkeypatch)
    split = model.load(tmp_path / "models")
    said = Counter(p.scheme for p in split.classify([t for t in stories("parcel_case", 40) if "video" in t]))
    assert said.most_common(1)[0][0] == "video_parcel_case"

    text = (Path(model.__file__).parent / "taxonomy.toml").read_text("utf-8")
    first = text.rindex("[[category.scheme]]", 0, text.index("id = 'online_lover'"))
    after = min(text.index(mark, first + 5) for mark in ("[[category.scheme]]", "[[category]]"))
    walk = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert walk
    moved = walk.group(1).replace("'fake_credit_card'", "'online_lover'")
    whole = text[:first] + text[after:]
    whole = whole.replace("'online_lover'", "'romance'") + "\n" + moved
    (tmp_path / "my.toml").write_text(whole, "utf-8")
    (tmp_path / "models" / "decisions.jsonl").unlink()
    listed(tmp_path, "moved")
    run(command.replace("split", "merge"), tmp_path, monkeypatch)
    merged = model.load(tmp_path / "models")
    assert "online_lover" not in merged.manifest.schemes
    assert Counter(p.scheme for p in merged.classify(stories("online_lover", 20))).most_common(1)[0][0] == (
        "loan_upfront_fee"
    )
    assert [entry["because"] for entry in promote.history(tmp_path / "models")[1:]] == ["split", "merge"]


def test_reviews_and_decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported reviews enter a run beside a corpus; decisions of the audit are obeyed by the next."""
    rows(tmp_path / "ours.jsonl", KINDS)
    listed(tmp_path)
    url = f"sqlite:///{tmp_path / 'desk.sqlite3'}"
    database = Database(url)
    database.migrate()
    for kind, category in zip(
        KINDS, ("fake_loan", "law_enforcement_impersonation", "not_fraud"), strict=True
    ):
        for text in stories(kind, 4, seed=9):
            Desk(database).review(add(Store(database), text)["id"], NewReview(category, "ann"), "key")
    database.close()
    monkeypatch.setenv("RUSE_DATABASE", url)
    for line in block("service export"):
        run(line, tmp_path, monkeypatch)
    first = promote.current(tmp_path / "models")
    report = json.loads((tmp_path / "models" / str(first) / "report.json").read_text())
    assert {c["name"]: c["rows"] for c in report["collected"]} == {"ours": 120, "reviews": 12}
    dropped = collect.key(stories(KINDS[0], 4, seed=9)[0])
    (tmp_path / "decisions.jsonl").write_text(json.dumps({"key": dropped, "decision": "drop"}) + "\n")
    run(*block("audit apply"), tmp_path, monkeypatch)
    run(block("service export")[1] + " --because again", tmp_path, monkeypatch)
    counts = [
        json.loads(path.read_text())["check"]["rows"]
        for path in sorted(
            (tmp_path / "build" / "retrain").glob("*/report.json"), key=lambda p: p.stat().st_mtime
        )
    ]
    assert counts == [132, 131]
