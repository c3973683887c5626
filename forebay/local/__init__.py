"""The processes that `forebay up` and `forebay gateway` run on this machine: their addresses, files and order."""
