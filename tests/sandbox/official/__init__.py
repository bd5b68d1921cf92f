"""The official LiveCodeBench checker's verdicts, kept as data, and the programs that they are about."""
