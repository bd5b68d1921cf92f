"""Training: losses, advantages, the SFT and RL loops, checkpoints."""
