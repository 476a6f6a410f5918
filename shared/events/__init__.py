"""The facts that Orderflow reads and publishes, one module per publisher. All are public."""
