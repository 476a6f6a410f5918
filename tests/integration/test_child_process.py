"""Child processes: stopped in bounded time, noticed when they die, never left behind."""

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from services.cli.child_process import ChildProcess, Processes
from services.cli.system import until_signaled
from tests.support.programs import HEEDS_SIGTERM, IGNORES_SIGTERM, gone, python, wait_for

CHECKOUT = Path(__file__).resolve().parents[2]


def test_a_child_gets_the_environment_and_what_is_added(tmp_path: Path) -> None:
    code = "import os; print(os.environ['PATH'] != '', os.environ['COLOUR'])"
    child = ChildProcess("painter", python(code), log=tmp_path / "log", env={"COLOUR": "teal"})
    child.start()
    wait_for("True teal", tmp_path / "log")
    child.stop()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = ChildProcess("deaf", python(IGNORES_SIGTERM), log=tmp_path / "log")
    child.start()
    wait_for("deaf", tmp_path / "log")

    began = time.monotonic()
    child.stop(grace_s=0.5)

    assert 0.5 <= time.monotonic() - began < 5
    end = child.ended()
    assert end is not None
    assert end.exit_code == -signal.SIGKILL
    assert str(end).startswith("deaf was killed by SIGKILL. Last lines of")


def test_a_frozen_child_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = ChildProcess("frozen", python(HEEDS_SIGTERM), log=tmp_path / "log")
    child.start()
    wait_for("ready", tmp_path / "log")
    child.signal(signal.SIGSTOP)

    began = time.monotonic()
    child.stop(grace_s=0.5)

    assert time.monotonic() - began < 5
    assert not child.running


def test_processes_stop_together_not_one_after_another(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        for name in ("deaf-1", "deaf-2", "deaf-3", "polite"):
            code = HEEDS_SIGTERM if name == "polite" else IGNORES_SIGTERM
            processes.start(name, python(code))
        for name in ("deaf-1", "deaf-2", "deaf-3"):
            wait_for("deaf", tmp_path / f"{name}.log")
        wait_for("ready", tmp_path / "polite.log")

        began = time.monotonic()
        processes.stop(grace_s=1.0)

        assert 1.0 <= time.monotonic() - began < 3 * 1.0
        assert [end.exit_code for end in processes.ended()] == [-9, -9, -9, 0]


def test_processes_tell_who_died_how_and_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("healthy", python(HEEDS_SIGTERM))
        processes.start("broken", python("print('x' * 50_000); print('no policy'); exit(3)"))
        processes.start("killed", python(HEEDS_SIGTERM))
        assert gone(processes["broken"].pid or 0, within_s=20)
        processes["killed"].kill()

        broken, killed = processes.ended()

        assert (broken.name, broken.exit_code) == ("broken", 3)
        assert broken.last_lines[-1] == "no policy"
        assert "broken ended with exit code 3" in str(broken)
        assert (killed.name, killed.exit_code) == ("killed", -signal.SIGKILL)
        assert processes["healthy"].running


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = ChildProcess("sleeper", python(HEEDS_SIGTERM), log=log)

    def start() -> None:
        child.start()
        wait_for("ready", log)  # by now it has asked for a signal at its parent's death

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    pid = child.pid
    assert pid is not None
    assert not gone(pid, within_s=1)
    child.stop()


@pytest.mark.parametrize(
    "path", ["nothing", pytest.param(None, marks=pytest.mark.real_kafka)], ids=["embedded", "real"]
)
def test_kill_9_of_the_parent_leaves_no_server_behind(tmp_path: Path, path: str | None) -> None:
    code = (
        "import pathlib, time\n"
        "from services.cli.stack import start_servers\n"
        f"with start_servers(pathlib.Path({str(tmp_path / 'data')!r}), path={path!r}) as servers:\n"
        "    print(servers.kafka.pid, servers.redis.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()

    assert all(gone(pid, within_s=5) for pid in pids)


def test_a_child_that_is_being_started_when_a_signal_comes_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted, spawn = threading.Event(), subprocess.Popen
    main = threading.main_thread().ident
    assert main is not None

    def slow(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        while not interrupted.wait(0.01):  # a signal just before the wait does not end it
            signal.pthread_kill(main, signal.SIGTERM)
        return spawn(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", slow)
    with Processes(tmp_path) as processes, until_signaled():
        try:
            processes.start("late", python(HEEDS_SIGTERM))
        finally:
            interrupted.set()

    end = processes["late"].ended()
    assert end is not None
    assert end.exit_code == -signal.SIGTERM


def test_one_child_that_can_not_be_started_keeps_no_other_from_being_stopped(
    tmp_path: Path,
) -> None:
    with Processes(tmp_path) as processes:
        with pytest.raises(ValueError, match="null"):
            processes.start("broken", ("a\0b",))
        well = processes.start("well", python(HEEDS_SIGTERM))

    assert not well.running
