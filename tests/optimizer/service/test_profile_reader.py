"""Profiles are read again, also when Redis went away."""

from optimizer.service.profile_places import ProfilePlaces
from optimizer.service.profile_reader import ProfileReader
from tests.support.boards import L20, PROFILES, a_board
from tests.support.redis import RedisServer, redis_server
from traffic.connection import Connection


async def test_a_new_profile_tells_its_model(server: RedisServer, connection: Connection):
    board = a_board()
    reader = ProfileReader(board, ProfilePlaces(connection, [], {}))

    assert set() == await reader.refresh()
    server.own_client.set("aibrix:profile_org/m_m-l20", PROFILES[L20])
    assert {"org/m"} == await reader.refresh()

    assert {"m-l20"} == board.shelf.of(board.models["org/m"].deployments).keys()
    assert "no profile" in board.shelf.problems["default/m-v100"]


async def test_profiles_stay_while_redis_is_away():
    with redis_server() as mortal:
        mortal.own_client.set("aibrix:profile_org/m_m-l20", PROFILES[L20])
        connection = Connection(mortal.url, 5.0)
        board = a_board()
        reader = ProfileReader(board, ProfilePlaces(connection, [], {}))
        await reader.refresh()

        mortal.kill()
        assert set() == await reader.refresh()

        assert {"default/m-l20"} == board.shelf.places.keys()
        assert "is gone" not in str(board.shelf.problems)
        assert board.redis_problem
        await connection.aclose()
