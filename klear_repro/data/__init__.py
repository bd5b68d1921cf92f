"""Training and evaluation data: the synthetic tasks of the smoke profile, its tokenizer, and the data stage."""
