"""Web Push: which browsers get pushes, what those say, encrypting and sending them."""
