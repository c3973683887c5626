"""Progress: a bar on a terminal, lines elsewhere, and never silence."""

from io import StringIO

from forebay.profiling.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_the_first_and_the_last_line():
    out = StringIO()
    progress = Progress(2, out)

    for done, text in ((0, "a"), (0, "b"), (1, "c"), (2, "done")):
        progress.show(done, text)
    progress.end()

    assert ["0 of 2 cells, 0 s: a", "2 of 2 cells, 0 s: done"] == out.getvalue().splitlines()


def test_a_terminal_gets_a_bar_in_place():
    out = Terminal()
    progress = Progress(2, out)

    progress.show(1, "half")
    progress.end()

    assert "\r\x1b[K[###############...............] 1 of 2 cells, 0 s, about 0 s to go: half\n" == out.getvalue()


def test_no_cells_are_no_error():
    Progress(0, out := StringIO()).show(0, "done")

    assert "0 of 0 cells, 0 s: done\n" == out.getvalue()
