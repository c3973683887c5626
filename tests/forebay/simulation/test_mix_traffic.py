"""Windows of a mix's traffic, as gateways count them."""

from forebay.simulation.mix_traffic import WindowCounts
from routing.strategy import Finished
from routing.types import RouteRequest
from simulator.replay.replay import MODEL
from traffic.window import index_of


def test_a_window_has_lengths_and_what_was_sent_where():
    counts, request = WindowCounts(), RouteRequest(MODEL, "", prompt_tokens=100)
    counts.arrived(request)
    counts.sent("v100")
    counts.finished(Finished("v100-1", request, 5.0, False, input_tokens=100, output_tokens=7))
    counts.finished(Finished("v100-1", request, 6.0, True))
    window = counts.window(10.0, 3, 2)

    assert (1, 3, 2, 0.0) == (window.arrivals, window.in_flight, window.queued, window.starts_at_s)
    assert {(index_of(100), index_of(7)): 1} == window.completed
    assert ({index_of(100): 1}, {"v100": 1}) == (window.arrived_inputs, window.sent)


def test_each_window_begins_anew():
    counts = WindowCounts()
    counts.arrived(RouteRequest(MODEL, "", prompt_tokens=100))
    counts.window(10.0, 0, 0)
    window = counts.window(20.0, 0, 0)

    assert (0, {}, {}, {}) == (window.arrivals, window.completed, window.arrived_inputs, window.sent)
