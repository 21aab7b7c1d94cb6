"""Faces of the pool: stable-baselines3, Gymnasium and PettingZoo."""
