"""The pool: workers, shared buffers, and what steps them."""
