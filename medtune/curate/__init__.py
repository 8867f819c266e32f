"""Which records to train on."""
