"""Small medical records and exam questions written for this project, CC0-1.0."""
