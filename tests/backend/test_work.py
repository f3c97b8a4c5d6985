import threading
import time

import pytest

from studio.backend.work import Work


def until(test, seconds=5.0):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_share_is_told_until_the_end():
    go = threading.Event()

    def do(tell, stopping):
        tell(0.5)
        go.wait(5)

    told = []
    for share in Work().follow("a", do):
        told.append(share)
        go.set()
    assert told[0] == 0.5


def test_two_who_ask_for_the_same_share_one_task():
    work, go, begun = Work(), threading.Event(), []

    def do(tell, stopping):
        begun.append(1)
        go.wait(5)

    first, second = work.follow("a", do), work.follow("a", do)
    next(first)
    next(second)
    go.set()
    assert list(first) == list(second) == []
    assert begun == [1]


def test_what_went_wrong_is_raised_to_each_who_follows():
    go = threading.Event()

    def do(tell, stopping):
        go.wait(5)
        raise ValueError("no")

    work = Work()
    watchers = [work.follow("a", do) for _ in range(2)]
    for watcher in watchers:
        next(watcher)
    go.set()
    for watcher in watchers:
        with pytest.raises(ValueError, match="no"):
            list(watcher)


def test_a_task_that_nobody_follows_stops_but_not_while_somebody_does():
    work, stopped = Work(), threading.Event()

    def do(tell, stopping):
        until(stopping)
        stopped.set()

    first, second = work.follow("a", do), work.follow("a", do)
    next(first)
    next(second)
    first.close()
    assert not stopped.wait(0.2)
    second.close()
    assert stopped.wait(5)


def test_a_stopped_task_can_be_begun_anew():
    work, begun = Work(), []

    def do(tell, stopping):
        begun.append(1)
        until(lambda: stopping() or len(begun) == 2)

    first = work.follow("a", do)
    next(first)
    first.close()
    assert list(work.follow("a", do)) == []
    assert begun == [1, 1]
