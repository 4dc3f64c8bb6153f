"""From logits to a prediction: what is chosen or fitted on validation images, then applied to test images."""
