"""A model's answers, their scores, and the reports."""
