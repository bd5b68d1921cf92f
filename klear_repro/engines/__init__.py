"""Text generation behind one protocol: `hf` (any device, also on live weights), `vllm`, and `openai` (any server)."""
