"""The pages: read what the projection wrote, and show it."""
