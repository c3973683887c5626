"""The words of `forebay users`, `keys` and `limits` as fields of the admin REST."""
