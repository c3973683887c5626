"""Reads the profiles of all planned deployments, before each decision and when somebody asks for it.

Lives here: the order of steps, and what a Redis that is away means.  Not here: the places (profile_places), which
profile counts (profile_shelf).
"""

import asyncio

from optimizer.service.board import Board
from optimizer.service.profile_places import ProfilePlaces
from traffic.connection import RedisAwayError


class ProfileReader:
    """Keeps the board's profiles current."""

    def __init__(self, board: Board, places: ProfilePlaces) -> None:
        self._board = board
        self._places = places
        self._in_redis: dict[str, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> set[str]:
        """Read all profiles again; return the models whose profiles changed.

        While Redis is away its last answer counts.
        """
        async with self._one_at_a_time:
            deployments = self._board.planned()
            try:
                self._in_redis = await self._places.in_redis(deployments)
            except RedisAwayError as error:
                self._board.redis_problem = str(error)
            offers, notes = await asyncio.to_thread(self._places.offers, deployments, self._in_redis)
            self._board.notes = notes
            return self._board.shelf.put(offers)
