"""Faults of the machine, told in one message with a remedy: memory, data workers, other processes of the run.

torch reports them as a ``RuntimeError`` among others, so they are known by their words.
"""

from __future__ import annotations

import re

from omegaconf import DictConfig, OmegaConf

from seglab import distributed


class MachineFault(ValueError):
    """Not the user's mistake and not ours; another try may succeed.

    Args:
        message: what happened and what can be done.
        secondary: whether it only follows from the end of another process, which has its own message.
    """

    def __init__(self, message: str, *, secondary: bool = False) -> None:
        super().__init__(message)
        self.secondary = secondary


def explained(error: Exception, cfg: DictConfig) -> Exception:
    """The error itself, or a :class:`MachineFault` in its place where it is a known fault of the machine.

    Args:
        error: what was raised while a run was worked on.
        cfg: the run's config; batch and size are read from it.
    """
    text = " ".join(str(error).split())
    if isinstance(error, MachineFault) or not isinstance(error, RuntimeError | MemoryError | ConnectionError):
        return error
    if _out_of_memory(error, text):
        return MachineFault(f"out of memory with {smaller(cfg)} ({text[:160]})")
    if "DataLoader worker" in text:
        return MachineFault(
            f"{_worker(text)}: try runtime.workers={_fewer(cfg)}, runtime.workers=0 needs none ({text[:200]})"
        )
    if distributed.world() > 1 and re.search(PEER_GONE, text, flags=re.IGNORECASE):
        message = f"another process of this run has ended, so this one (rank {distributed.rank()}) cannot go on"
        return MachineFault(f"{message}; the first message tells why ({text[:160]})", secondary=True)
    return error


PEER_GONE = r"connection (closed|reset|refused)|broken pipe|remote process exited|nccl|gloo|socket|watchdog|timed out"


def smaller(cfg: DictConfig) -> str:
    """The batch and size of a command, and what to try instead of them; only keys that the command has."""
    keys = ("batch_size", "accumulate", "eval.batch_size", "data.size", "size")
    now = {key: value for key in keys if (value := OmegaConf.select(cfg, key))}
    batch, scored = now.get("batch_size", 0), now.get("eval.batch_size", 0)
    pieces = distributed.world() * now.get("accumulate", 1)
    ways = []
    if "accumulate" in now and (more := next((k for k in range(2, batch + 1) if batch % (pieces * k) == 0), None)):
        ways.append(f"accumulate={now['accumulate'] * more} (the same batch in smaller pieces)")
    if batch > pieces:
        ways.append(f"batch_size={max(pieces, batch // 2 // pieces * pieces)}")
    if scored > 1:
        ways.append(f"eval.batch_size={scored // 2} (if it was while scoring)")
    ways += [f"{key}={int(now[key] * 0.7) // 32 * 32}" for key in ("data.size", "size") if now.get(key, 0) >= 64]
    if OmegaConf.select(cfg, "runtime.precision") == "fp32":
        ways.append("runtime.precision=bf16")
    return f"{', '.join(f'{key}={value}' for key, value in now.items())}: try {' or '.join(ways) or 'a larger machine'}"


def _out_of_memory(error: Exception, text: str) -> bool:
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return bool(re.search(r"can't allocate memory|out of memory|not enough memory|bad_alloc", text))


def _worker(text: str) -> str:
    """Why a data worker ended, as far as the system says."""
    if "Bus error" in text or "shared memory" in text:
        return "a data worker ended because shared memory (/dev/shm) is full"
    if found := re.search(r"killed by signal: (\w+)", text):
        why = ", most often by the system for want of memory" if found[1] == "Killed" else ""
        return f"a data worker was killed (signal: {found[1]}{why})"
    return "a data worker ended unexpectedly, most often killed for want of memory"


def _fewer(cfg: DictConfig) -> int:
    return max(1, int(OmegaConf.select(cfg, "runtime.workers") or 0) // 2)
