"""Networks: one builder per file, each returning a `Network` from 0..255 images to logits of the same size."""
