"""Fulfillment: the order's life, and the only owner of its status."""
