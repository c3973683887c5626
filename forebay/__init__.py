"""The command `forebay`, and everything on this machine that it starts."""
