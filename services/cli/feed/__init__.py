"""`orderflow feed`: a marketplace's order history, replayed through the running services."""
