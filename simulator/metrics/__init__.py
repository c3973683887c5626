"""The simulated engine's /metrics page, with the names of vLLM or of SGLang."""
