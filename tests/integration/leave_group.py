"""Train a step in a group of processes, leave it, and print the threads that are left; started by torchrun."""

from pathlib import Path

import torch

from seglab import distributed

with distributed.process_group(torch.device("cpu")):
    model = distributed.wrap(torch.nn.Linear(2, 2), torch.device("cpu"), sync_batchnorm=False)
    model.itself = [model]  # a cycle, as trainers and their networks are in
    model(torch.ones(1, 2)).sum().backward()
    del model
print(*(task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()))
