"""Calls that are due at the same time are made as one; nobody waits in vain, and nobody pays for another."""

import asyncio
from collections.abc import Sequence

import pytest

from playbook.scaffold.worker.batches import MOST, PATIENCE, Batches


class Written:
    """Writes numbers; refuses calls that hold a bad one."""

    def __init__(self, bad: int | None = None) -> None:
        self.calls: list[list[int]] = []
        self.bad = bad
        self.called, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.called.set()
        await self.free.wait()
        if self.bad in items:
            raise ValueError(f"{self.bad} is bad")
        return [item * 10 for item in items]


async def test_the_first_is_written_at_once_and_what_comes_meanwhile_goes_together() -> None:
    write = Written()
    write.free.clear()
    batches = Batches(write)
    first = asyncio.create_task(batches.put(0))
    await write.called.wait()
    others = [asyncio.create_task(batches.put(number)) for number in range(1, 4)]
    await asyncio.sleep(0)
    write.free.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30]
    assert write.calls == [[0], [1, 2, 3]]


async def test_a_call_is_no_longer_than_redis_can_spare() -> None:
    write = Written()
    batches = Batches(write)
    await asyncio.gather(*(batches.put(number) for number in range(MOST + 1)))
    assert [len(call) for call in write.calls] == [MOST, 1]


async def test_it_waits_for_those_that_are_about_to_come() -> None:
    write = Written()
    batches = Batches(write)
    batches.expect(True)
    first = asyncio.create_task(batches.put(1))
    await asyncio.sleep(0)
    second = asyncio.create_task(batches.put(2))
    await asyncio.sleep(0)
    batches.expect(False)
    assert await asyncio.gather(first, second) == [10, 20]
    assert write.calls == [[1, 2]]


async def test_it_does_not_wait_for_long() -> None:
    batches = Batches(Written())
    batches.expect(True)
    async with asyncio.timeout(PATIENCE * 1000):
        assert await batches.put(1) == 10


async def test_the_error_of_one_is_not_that_of_the_others() -> None:
    write = Written(bad=2)
    batches = Batches(write)
    found = await asyncio.gather(*(batches.put(number) for number in (1, 2, 3)), return_exceptions=True)
    assert found[0] == 10
    assert isinstance(found[1], ValueError)
    assert found[2] == 30
    assert write.calls == [[1, 2, 3], [1], [2], [3]]


async def test_one_that_no_longer_waits_does_not_disturb_the_others() -> None:
    write = Written()
    write.free.clear()
    batches = Batches(write)
    gone, stays = (asyncio.create_task(batches.put(number)) for number in (1, 2))
    await write.called.wait()
    gone.cancel()
    write.free.set()
    assert await stays == 20
    with pytest.raises(asyncio.CancelledError):
        await gone
