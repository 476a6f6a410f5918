"""The books: the promises P1 to P6, checked over all topics and what Redis holds.

One function does it (`audit.audit`), for tests, the demo's end and the operator's `reconcile`.
It looks only at what anybody can see: it trusts no service's own word about itself.
"""
