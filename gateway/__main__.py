"""`python -m gateway` is the command `forebay`."""

from gateway.cli import main

main(prog_name="forebay")
