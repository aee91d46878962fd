"""Laws of the supervisor, on small real processes."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fabg.ros.supervisor import RestartPolicy, Supervisor
from tests.conftest import wait_until

QUICK = RestartPolicy(first_s=0.05, factor=2.0, most_s=0.2)


def _python(code):
    return [sys.executable, "-c", code]


SLEEPER = _python("import signal; print('up', flush=True); signal.pause()")


def _supervisor(tmp_path=None, **commands):
    events, lines = [], []
    made = Supervisor(
        commands,
        policy=QUICK,
        on_line=lambda name, line: lines.append((name, line)),
        on_event=lambda name, text: events.append((name, text)),
        log_dir=tmp_path,
    )
    made.events, made.lines = events, lines
    return made


def _gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_back_off_grows_to_its_limit():
    policy = RestartPolicy(first_s=0.5, factor=2.0, most_s=10.0)
    assert [policy.delay_s(n) for n in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_killed_process_comes_back():
    with _supervisor(a=SLEEPER) as supervisor:
        child = supervisor.children["a"]
        wait_until(lambda: ("a", "up") in supervisor.lines, "the first start")
        first = child.process.pid
        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda: supervisor.poll() == [] and supervisor.lines.count(("a", "up")) == 2, "the second start"
        )
        assert child.restarts == 1
        assert child.process.pid != first
        assert "signal 9" in supervisor.events[0][1]


def test_a_configuration_error_is_final():
    with _supervisor(a=_python("import sys; print('no such file'); sys.exit(2)"), b=SLEEPER) as supervisor:
        failed = supervisor.run(threading.Event())
        assert (failed.name, failed.status, failed.restarts) == ("a", 2, 0)
        assert failed.tail == ["no such file"]


def test_stop_leaves_no_process_even_when_one_is_stubborn():
    stubborn = _python(
        "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; print('up', flush=True); signal.pause()"
    )
    supervisor = _supervisor(a=stubborn, b=SLEEPER)
    with supervisor:
        wait_until(lambda: len(supervisor.lines) == 2, "both to start")
        pids = [c.process.pid for c in supervisor.children.values()]
        began = time.monotonic()
        supervisor.stop(patience_s=0.3)
    assert all(_gone(pid) for pid in pids)
    assert time.monotonic() - began < 10


def test_children_end_when_the_supervisor_is_killed():
    code = (
        "import sys, threading; from fabg.ros.supervisor import Supervisor\n"
        "child = 'import os,signal; print(os.getpid(), flush=True); signal.pause()'\n"
        "s = Supervisor({'a': [sys.executable, '-c', child]},"
        " on_line=lambda n, l: print(l, flush=True)).__enter__()\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: _gone(pid), "the orphan to end")
    parent.stdout.close()


def test_output_goes_to_the_log(tmp_path):
    with _supervisor(tmp_path, a=_python("print('first'); print('second')")) as supervisor:
        wait_until(supervisor.poll, "the end of the process")
    assert (tmp_path / "a.log").read_text() == "first\nsecond\n"


def test_a_command_that_cannot_start_ends_the_others():
    supervisor = _supervisor(a=SLEEPER, b=["/nonexistent/command"])
    with pytest.raises(FileNotFoundError):
        supervisor.__enter__()
    assert _gone(supervisor.children["a"].process.pid)
