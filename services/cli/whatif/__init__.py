"""`orderflow whatif`: what a history would have come to under other policies."""
