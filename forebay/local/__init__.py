"""What `forebay up` and `forebay gateway` run on this machine: which processes, their addresses, files and order."""
