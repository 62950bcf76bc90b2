"""Made worlds, drawn from a seed with their truth and a log of the past; `datasets` imports real ones."""
