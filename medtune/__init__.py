"""Chinese medical language models that can be trusted: from raw data to a measured model."""

__version__ = "0.1.0"
