"""A process that decodes, and that some files break, told by their names."""

import os
import signal
import sys
import time

from mreactor_ref.features import decoder_process

read_sound = decoder_process.read_sound


def break_over(path):
    match path.stem:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(600)
        case "eat":
            bytearray(64 << 30)
        case "babble":
            os.write(int(sys.argv[2]), b"\x00\x00\x00\x04oops")
    return read_sound(path)


if __name__ == "__main__":
    decoder_process.read_sound = break_over
    decoder_process.main(sys.argv[1:])
