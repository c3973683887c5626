"""Boards of the optimizer in the state that a test is about."""

from collections.abc import Sequence

from optimizer.planning.decider import Decider, Policy
from optimizer.planning.deployments import Deployment
from optimizer.service.board import Board, Model
from optimizer.service.profile_shelf import Found, Offered
from tests.support.optimizer import a_profile, a_window
from traffic.window import WINDOW_S, Window

NOW_S = 1_700_000_000.0
L20 = Deployment("default", "m-l20", "org/m", 0, 0)
V100 = Deployment("default", "m-v100", "org/m", 0, 0)
SHORT = (128, 32)
"""Input and output tokens of requests that the L20 is cheapest for."""
PROFILES = {
    L20: a_profile("m-l20", 1.0, [[10.0, 2.0], [5.0, 0.0]]),
    V100: a_profile("m-v100", 3.0, [[12.0, 10.0], [6.0, 2.0]]),
}


def a_board(*deployments: Deployment, policy: Policy | None = None, problem: str = "") -> Board:
    """A board that was told of these deployments, with a Redis that answers."""
    board = Board(lambda: Decider(policy), lambda: NOW_S, lambda: problem)
    board.redis_problem = ""
    board.put_deployments(deployments or (L20, V100))
    return board


def with_profiles(board: Board) -> Board:
    """The same with the profiles of both deployments."""
    board.shelf.put({each: Offered([Found(f"key {each.name}", text.encode())]) for each, text in PROFILES.items()})
    return board


def heard(model: Model, windows: Sequence[Window]) -> None:
    """Have the model learn windows, of which the last has just ended."""
    for n, window in enumerate(windows):
        starts_at_s = NOW_S - (len(windows) - n) * WINDOW_S
        fields = {name: getattr(window, name) for name in Window.__dataclass_fields__}
        model.learn(Window(**{**fields, "starts_at_s": starts_at_s}))


def decide(board: Board, model: Model) -> None:
    """Decide as the loop does."""
    profiles = board.shelf.of(model.deployments)
    model.decision = model.decider.decide(NOW_S, model.deployments, profiles, board.overrides)
    model.decided_at_s = NOW_S


def a_decided_board(rate: float = 30.0, sent: dict[str, int] | None = None) -> tuple[Board, Model]:
    """A board after one decision for short requests at this rate: by the L20s alone, as they are cheapest."""
    board = with_profiles(a_board())
    model = board.models["org/m"]
    heard(model, [a_window(rate, {SHORT: 1.0}, sent=sent or {})] * 6)
    decide(board, model)
    return board, model
