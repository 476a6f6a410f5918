"""Dashboard: shows what the others decided. It decides nothing."""
