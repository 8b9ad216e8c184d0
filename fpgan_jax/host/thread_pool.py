"""Owns work that threads do ahead of whoever takes the results."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], *, max_ahead: int
) -> Iterator[Result]:
    """Yield the results in order, with at most `max_ahead` of them started and not yet taken.

    An error of `function` is raised where its result would be.
    """
    begun: collections.deque[Future[Result]] = collections.deque()
    for item in items:
        begun.append(pool.submit(function, item))
        if len(begun) == max_ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
