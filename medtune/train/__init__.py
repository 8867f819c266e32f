"""Records -> a trained model."""
