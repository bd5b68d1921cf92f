"""The `strict` judge: what stands as the answer in a response, what it denotes, and whether it is the gold answer."""
