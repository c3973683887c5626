"""The running optimizer: its loop, what it reads and tells, and its HTTP pages."""
