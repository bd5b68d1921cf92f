"""Text generation behind one protocol: `hf` (any device, also on live weights) and `vllm`."""
