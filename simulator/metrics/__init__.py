"""The simulated engine's /metrics page, under vLLM's or SGLang's names."""
