"""The routes of models: for every workload with a model an HTTPRoute, and grants for the Services behind them."""
