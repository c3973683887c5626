"""OpenAI's API: operations, request bodies, prompts, usage in answers, and errors."""
