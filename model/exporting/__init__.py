"""A version's network for other programs: as ONNX or TorchScript, with the steps around it as code."""
