"""`orderflow policy check`: what a policy says, in sentences and for an order worked through."""
