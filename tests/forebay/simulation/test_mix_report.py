from forebay.simulation.mix_report import MixComparison, MixRun, long_prompts, rows, table
from simulator.core.sequence import Sequence
from simulator.replay.replay import Call
from simulator.replay.summary import Slo, Summary
from simulator.replay.traces import TraceRequest


def a_run(name: str, cost: float, *, good: int = 100, unserved: float = 0.0) -> MixRun:
    summary = Summary(name, 1.0, 100, 100, 1.0, {}, good, [0.1, 0.3], None, None, 0.0, {}, 0, None)
    return MixRun(summary, ["l20"], cost, {"l20": 1.25}, unserved, 3, {"l20": 1.0}, [])


def test_the_best_alone_is_the_cheapest_type_whose_plans_serve_all():
    mix, dear, short = a_run("mix", 2.0), a_run("L20 only", 4.0), a_run("V100 only", 1.0, unserved=0.1)
    comparison = MixComparison("chat", Slo(), 1, [mix, dear, short])

    assert dear is comparison.best_alone
    assert ["50%", "100%", "25%"] == [row[2] for row in rows(comparison)[1:]]
    assert ["0.0%", "0.0%", "10.0%"] == [row[3] for row in rows(comparison)[1:]]


def test_where_no_type_alone_serves_all_there_is_nothing_to_compare_with():
    comparison = MixComparison("chat", Slo(), 1, [a_run("mix", 2.0), a_run("V100 only", 1.0, unserved=0.1)])

    assert comparison.best_alone is None
    assert "-" == rows(comparison)[1][2]


def test_a_row_has_the_figures_of_its_replay():
    comparison = MixComparison("chat", Slo(2.0, 0.1), 1, [a_run("mix", 2.0, good=95)])

    assert ["mix", "2.00", "-", "0.0%", "95.0%", "200", "298", "l20:1.2", "3", "l20:100%"] == rows(comparison)[1]
    assert "chat: 100 requests, first token in 2 s, 100 ms a token" == table(comparison).splitlines()[0]


def test_long_prompts_are_those_of_more_than_a_pass_and_refused_ones_went_nowhere():
    def call(pod: str, tokens: int) -> Call:
        return Call(TraceRequest(0, tokens, 1), 0.0, 0.0, Sequence(tokens, 1), pod=pod)

    calls = [call("a", 3000), call("b", 2048), call("a", 2047), call("a", 9000), call("", 5000)]

    assert {"A": 2 / 3, "B": 1 / 3} == long_prompts(calls, str.upper)
    assert {} == long_prompts(calls[2:3], str.upper)
