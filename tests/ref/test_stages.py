"""Who listens hears how far the work of its thread is; nobody else does."""

from threading import Thread

from mreactor_ref.stages import FACE, WORDS, listening, reached


def test_the_listener_hears_within_its_block():
    heard: list[tuple[str, float]] = []
    reached(FACE, 0.1)
    with listening(lambda stage, part: heard.append((stage, part))):
        reached(FACE, 0.5)
        reached(WORDS, 1.25)
        other = Thread(target=reached, args=(FACE, 0.9))
        other.start()
        other.join()
    reached(FACE, 0.6)
    assert heard == [(FACE, 0.5), (WORDS, 1.0)]
