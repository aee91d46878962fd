"""Laws of the worker thread and of policies with a deadline; every wait is for an event."""

import threading

import pytest

from fabg.policy.base import Observation
from fabg.ros.worker import Punctual, Worker
from tests.conftest import WAIT_S, wait_until


class Gate:
    """Work that begins and ends when the test says so."""

    def __init__(self):
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.rung = threading.Semaphore(0)
        self.done = []

    def work(self, item):
        self.begun.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        self.done.append(item)
        if item == "bad":
            raise ValueError("bad item")
        return f"answer to {item}"

    def wait_for(self, what):
        assert what.acquire(timeout=WAIT_S)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def worker(gate):
    made = Worker(gate.work, gate.rung.release)
    yield made
    for _ in range(10):
        gate.may_end.release()
    made.close()


def test_one_in_flight_and_the_newest_wins(gate, worker):
    assert not worker.give("a")
    gate.wait_for(gate.begun)
    assert not worker.give("b"), "nothing waited: a is in the works"
    assert worker.give("c") and worker.give("d"), "b, then c, were dropped"
    assert worker.take() is None
    gate.may_end.release()
    gate.wait_for(gate.begun)
    gate.may_end.release()
    for _ in range(2):
        gate.wait_for(gate.rung)
    assert gate.done == ["a", "d"]
    assert [(r.item, r.answer, r.error) for r in (worker.take(), worker.take())] == [
        ("a", "answer to a", None),
        ("d", "answer to d", None),
    ]
    assert worker.take() is None


def test_an_error_is_a_result_and_the_thread_lives_on(gate, worker):
    for item in ("bad", "good"):
        worker.give(item)
        gate.may_end.release()
        gate.wait_for(gate.rung)
    bad, good = worker.take(), worker.take()
    assert isinstance(bad.error, ValueError) and bad.answer is None
    assert good.error is None and good.answer == "answer to good"


def test_after_the_end_no_bell_is_rung_though_the_work_still_hangs(gate):
    worker = Worker(gate.work, gate.rung.release)
    worker.give("a")
    gate.wait_for(gate.begun)
    worker.close(patience_s=0.01)
    gate.may_end.release()
    wait_until(lambda: gate.done == ["a"], "the work to end")
    worker._thread.join(WAIT_S)
    assert not gate.rung.acquire(blocking=False) and worker.take() is None


def test_an_idle_worker_ends_at_once(gate):
    worker = Worker(gate.work, gate.rung.release)
    worker.close()
    assert not worker._thread.is_alive()


class Thinker:
    """A policy that thinks while the test holds it up."""

    name = "thinker"

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.log = []

    def reset(self):
        self.log.append("reset")

    def predict(self, observation):
        self.log.append(observation.stamp_s)
        assert self.free.wait(WAIT_S)
        if observation.stamp_s < 0:
            raise ValueError("before time began")
        return f"chunk for {observation.stamp_s}"


@pytest.fixture
def thinker():
    made = Thinker()
    yield made
    made.free.set()


def test_a_punctual_policy_is_the_policy_itself(thinker):
    punctual = Punctual(thinker, WAIT_S)
    assert punctual.name == "thinker"
    assert [punctual.predict(Observation(t)) for t in (1.0, 2.0)] == ["chunk for 1.0", "chunk for 2.0"]
    with pytest.raises(ValueError, match="before time began"):
        punctual.predict(Observation(-1.0))
    punctual.reset()
    assert punctual.predict(Observation(3.0)) == "chunk for 3.0"
    assert thinker.log == [1.0, 2.0, -1.0, "reset", 3.0]
    punctual.close()


def test_a_late_answer_is_an_error_and_never_taken_for_that_to_another_question(thinker):
    punctual = Punctual(thinker, 0.02)
    thinker.free.clear()
    with pytest.raises(TimeoutError, match="within 20 ms"):
        punctual.predict(Observation(1.0))
    punctual.reset()
    with pytest.raises(TimeoutError, match="still busy"):
        punctual.predict(Observation(2.0))
    thinker.free.set()

    def answered():
        # The machine may be busy: even a free policy can be late.
        try:
            return punctual.predict(Observation(3.0))
        except TimeoutError:
            return None

    assert wait_until(answered, "an answer") == "chunk for 3.0"
    assert thinker.log[:3] == [1.0, "reset", 3.0]
    punctual.close()
