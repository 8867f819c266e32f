"""Text in, number out: pure functions without files or models."""
