"""Payment: whether an order's payment is good, and which money goes back."""
