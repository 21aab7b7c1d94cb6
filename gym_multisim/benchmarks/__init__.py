"""What `gym-multisim bench` runs: ours and the peers, in turn, in one session."""
