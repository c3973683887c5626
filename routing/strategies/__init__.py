"""The strategies, one module for each kind; `routing.table` lists them."""
