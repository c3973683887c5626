"""One module per strategy; `routing.table` lists them."""
