"""Train on a minute of whistles, then listen to four streams: one after the other, and in four threads."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import cgru
from whistles import FRAME, Listener, features

STREAMS = 4
FRAMES = 10_000  # of a stream, which is heard ROUNDS times over
ROUNDS = 20
WHISTLE = 20  # frames that one lasts


def whistles(frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sound (frames x FRAME,) in float32 with whistles that rise or fall, and where one rises (frames,)."""
    sound, rises = np.zeros(frames * FRAME), np.zeros(frames, bool)
    start = rng.integers(5, 30)
    while start + WHISTLE < frames:
        up = rng.random() < 0.5
        pitch = np.linspace(0.05, 0.2, WHISTLE * FRAME)[:: 1 if up else -1]  # cycles per sample
        sound[start * FRAME : (start + WHISTLE) * FRAME] = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch))
        rises[start : start + WHISTLE] = up
        start += WHISTLE + rng.integers(5, 30)
    return (sound + 0.2 * rng.standard_normal(sound.size)).astype(np.float32), rises


def train(rng: np.random.Generator) -> cgru.Network:
    """A network that says for each frame whether a rising whistle sounds."""
    parts = [whistles(200, rng) for _ in range(40)]
    X = np.stack([features(sound) for sound, _ in parts])
    y = np.stack([rises for _, rises in parts])[:, :, None].astype(np.float32)
    layers = [cgru.GRU(32, sequences=True, dtype=np.float32), cgru.Dense(1, cgru.sigmoid, dtype=np.float32)]
    net = cgru.Network(layers, loss="binary_cross_entropy", optimizer=cgru.Adam(1e-2, clip_norm=1.0), seed=0)
    net.fit(X, y, epochs=40, batch_size=10)
    return net


def listen(listener: Listener, sound: np.ndarray) -> np.ndarray:
    """What is heard (ROUNDS, frames); the state goes on from one round to the next."""
    return np.stack([listener.listen(sound) for _ in range(ROUNDS)])


def timed(net: cgru.Network, sounds: list[np.ndarray], threads: int) -> tuple[float, np.ndarray]:
    """Seconds that the streams take in so many threads, and what they heard (streams, ROUNDS, frames)."""
    listeners = [Listener(*net.layers) for _ in sounds]
    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        heard = list(pool.map(listen, listeners, sounds))
        return time.perf_counter() - begin, np.array(heard)


def main() -> None:
    """Print how often the decision is right, and what threads bring."""
    rng = np.random.default_rng(0)
    net = train(rng)
    pairs = [whistles(FRAMES, rng) for _ in range(STREAMS)]
    sounds, rises = [sound for sound, _ in pairs], np.array([rises for _, rises in pairs])
    alone, together = [], []
    for _ in range(5):
        seconds, due = timed(net, sounds, 1)
        alone.append(seconds)
        seconds, heard = timed(net, sounds, STREAMS)
        together.append(seconds)
        if not np.array_equal(heard, due):
            raise SystemExit("several threads heard something else than one")
    print(f"{np.mean(heard == rises[:, None]):.1%} of the frames right")
    print(f"one thread: {min(alone) / heard.size * 1e6:.2f} us a frame")
    print(f"{STREAMS} threads: {min(alone) / min(together):.2f} times as many frames a second")


if __name__ == "__main__":
    main()
