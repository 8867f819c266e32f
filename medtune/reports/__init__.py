"""What a command found, as JSON, Markdown and a web page in Chinese and English: pure functions."""
