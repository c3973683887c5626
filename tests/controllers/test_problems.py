"""Problems are told when they have lasted."""

from controllers.problems import AGAIN_S, Problem, Problems
from kube.events import About
from kube.objects import Kind, Metadata, Object

GADGETS = Kind("example.org", "v1", "Gadget", "gadgets", Object)


def a_problem(note: str = "broken", uid: str = "u", patience_s: float = 0.0) -> Problem:
    return Problem(About(GADGETS, Metadata(name="a", uid=uid)), "Broken", note, patience_s=patience_s)


def test_a_problem_is_told_once_while_it_lasts_and_again_much_later():
    problems = Problems()
    problems.replace([a_problem()], now_s=10.0)

    assert [a_problem()] == problems.take(10.0)
    problems.replace([a_problem()], now_s=11.0)
    assert [] == problems.take(11.0)
    assert 10.0 + AGAIN_S == problems.next_s()
    assert [a_problem()] == problems.take(10.0 + AGAIN_S)


def test_a_problem_that_needs_patience_is_told_when_it_has_lasted():
    problems = Problems()
    problems.replace([a_problem(patience_s=5.0)], now_s=10.0)

    assert [] == problems.take(14.9)
    problems.replace([a_problem(patience_s=5.0)], now_s=14.9)
    assert 15.0 == problems.next_s()
    assert [a_problem(patience_s=5.0)] == problems.take(15.0)


def test_a_problem_that_went_and_came_again_is_new():
    problems = Problems()
    problems.replace([a_problem(patience_s=5.0)], now_s=10.0)
    problems.replace([], now_s=12.0)
    assert problems.next_s() is None
    problems.replace([a_problem(patience_s=5.0)], now_s=13.0)

    assert [] == problems.take(15.0)


def test_the_same_of_two_objects_and_two_of_one_are_different_problems():
    problems = Problems()
    problems.replace([a_problem(), a_problem(uid="v"), a_problem("bent")], now_s=0.0)

    assert 3 == len(problems.take(0.0))
