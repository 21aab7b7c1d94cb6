"""Faces of the pool: stable-baselines3 and Gymnasium."""
