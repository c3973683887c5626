"""What clients send and engines answer, in OpenAI's shapes."""
