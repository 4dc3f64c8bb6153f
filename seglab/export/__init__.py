"""A trained network as one file that needs no run folder: ONNX, or torch.export's pt2."""
