"""Raw rows of any kind -> clean, split records."""
