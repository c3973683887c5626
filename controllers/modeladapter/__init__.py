"""LoRA adapters: loaded on engines of their base model, each with a Service and an EndpointSlice of its name."""
