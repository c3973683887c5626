"""Downloads of models and adapters from the Hugging Face Hub, S3 and compatible, GCS, Azure and HTTP."""
