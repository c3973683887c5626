"""The admin REST as the commands `forebay users`, `keys` and `limits` call it."""
