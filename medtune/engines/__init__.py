"""Messages in, text out."""
