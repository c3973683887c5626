"""The protobuf messages we speak; `build.py` compiles them."""
