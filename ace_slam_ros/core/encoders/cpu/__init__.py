"""The shipped encoder on a CPU: only what the chosen cells of an image need."""
