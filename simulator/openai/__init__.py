"""OpenAI's API as the simulated engine speaks it: request bodies, tokens, generated text, responses, errors."""
