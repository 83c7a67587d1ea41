"""The robot's side of r2s: needs NumPy and ONNX Runtime, and nothing of r2s itself."""
