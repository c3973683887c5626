"""The supervisor behind `forebay up` and `forebay gateway`: starts processes, keeps them alive, ends them."""
