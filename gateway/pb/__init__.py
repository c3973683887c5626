"""Protobuf messages generated from proto/*.proto by deploy/generate_messages.py; not kept in version control."""
