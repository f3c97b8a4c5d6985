"""Training methods and the estimate made before one starts."""
