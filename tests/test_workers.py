"""service.workers: several processes on one port."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.serving import until_ready
from tests.test_serve import Served, served
from tests.test_telemetry import samples


def children(process: int) -> set[int]:
    """The processes that this one has begun."""
    path = Path(f"/proc/{process}/task/{process}/children")
    if not path.exists():
        pytest.skip("this system does not tell the children of a process")
    return {int(word) for word in path.read_text().split()}


def wait_for_workers(it: Served, count: int) -> set[int]:
    """The workers once there are so many."""
    deadline = time.monotonic() + 30
    while len(found := children(it.process.pid)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def ask(it: Served, n: int) -> list[int]:
    """Sends texts over connections of their own, so that every worker gets some; the statuses."""

    def one(_: int) -> int:
        with httpx.Client(base_url=it.client.base_url, trust_env=False, timeout=30) as client:
            return client.post("/v1/classify", json={"text": "He took my money."}).status_code

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(n)))


def test_workers_add_up_and_are_begun_again(small_model: Path, tmp_path: Path) -> None:
    """Metrics are the sum over workers, whichever answers, each once; a worker that is killed is replaced."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_WORKERS="2") as it:
        first = wait_for_workers(it, 2)
        until_ready(it.client)
        assert set(ask(it, 40)) == {200}
        for _ in range(4):
            with httpx.Client(base_url=it.client.base_url, trust_env=False) as client:
                text = client.get("/metrics").text
                found = samples(text)
                kinds = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
                assert len(set(kinds)) == len(kinds)
                assert found["ruse_requests_total", "POST", "/v1/classify", "200"] == 40
                assert sum(n for key, n in found.items() if key[0] == "ruse_model") == 1
        os.kill(min(first), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while len(children(it.process.pid) - first) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert max(first) in children(it.process.pid)
        it.process.send_signal(signal.SIGTERM)
        assert it.process.wait(20) == -signal.SIGTERM
        assert not [pid for pid in first if Path(f"/proc/{pid}").exists()]


def test_workers_do_not_outlive_their_parent(small_model: Path, tmp_path: Path) -> None:
    """Where the parent is killed its workers end too, so that the port is free for the next."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_WORKERS="2") as it:
        workers = wait_for_workers(it, 2)
        it.process.kill()
        it.process.wait()
        deadline = time.monotonic() + 15
        while [pid for pid in workers if _runs(pid)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_ready_falls_before_the_port_closes(small_model: Path, tmp_path: Path) -> None:
    """With a drain, SIGTERM makes ready say no while requests are still taken; then the process ends."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_DRAIN="1.5") as it:
        it.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        answer = it.client.get("/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
        assert it.client.get("/health/live").status_code == 200
        assert it.client.post("/v1/classify", json={"text": "a"}).status_code == 200
        assert it.process.wait(10) == -signal.SIGTERM
