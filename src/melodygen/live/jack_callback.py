"""What JACK's real-time thread runs for an output port: a function that numba compiles, so that it never waits
for Python.

A Python callback would wait for the interpreter, and every program on the server with it. The function takes records
from a ring buffer (JACK's own, lock-free) and writes each at its frame of the period. Records come in the order of
their frames. What does not fit into a period goes out in the next; what is longer than a period takes is left out.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from melodygen.live.jack_library import address, library, load_jack

HEADER = struct.Struct("=IHH")
"""Frame, number of bytes, kind; the bytes follow."""
KIND_OTHER, KIND_NOTE, KIND_TICK = range(3)
"""Kinds of records: note-ons and ticks of the clock can be taken back."""
CLIENT, PORT, RING, SCRATCH, NO_NOTES, STOPPED, TAKEN = range(7)
"""Places in the state that both sides share. NO_NOTES: the note-ons among the records up to this one are left out.
STOPPED: so are the ticks, and the rest goes out at once. TAKEN: records that were read."""
STATE_SIZE = 16
HEADER_PLACE = 8
"""Where in the state the callback keeps the header it looks at."""


class OutputCallback:
    """The callback of one output port, with its ring buffer.

    Args:
        client: a client that is not active yet.
        port: its MIDI output.
        room: bytes that may wait.
    """

    def __init__(self, client: Any, port: Any, room: int) -> None:
        jack = load_jack()
        self._ring = jack.RingBuffer(room)
        self.state = np.zeros(STATE_SIZE, np.uint64)
        place = self.state.ctypes.data + self.state.itemsize * HEADER_PLACE
        self.state[:4] = address(client._ptr), address(port._ptr), address(self._ring._ptr), place
        self._compiled = _compiled()
        # JACK-Client itself only takes callbacks in Python
        jack._lib.jack_set_process_callback(
            client._ptr,
            jack._ffi.cast("JackProcessCallback", self._compiled.address),
            jack._ffi.cast("void *", self.state.ctypes.data),
        )
        self._written = 0

    def write(self, frame: int, message: bytes, kind: int) -> bool:
        """Put a record into the ring and return whether there was room."""
        if self._ring.write_space < HEADER.size + len(message):
            return False
        self._ring.write(HEADER.pack(frame, len(message), kind) + message)
        self._written += 1
        return True

    def recall(self, is_stop: bool) -> None:
        """Take back the note-ons that wait; with ``is_stop`` the ticks too, and the rest goes out at once."""
        self.state[NO_NOTES] = self._written
        if is_stop:
            self.state[STOPPED] = self._written

    @property
    def num_waiting(self) -> int:
        """Number of records that were not taken yet."""
        return self._written - int(self.state[TAKEN])


def _compiled() -> Any:
    from numba import carray, cfunc, types

    functions = _functions(library())
    last_frame_time, get_buffer, clear, reserve, max_size = functions[:5]
    read_space, peek, read_advance, read = functions[5:]
    header_size = HEADER.size

    def process(num_frames: Any, argument: Any) -> Any:
        state = carray(argument, STATE_SIZE, types.uint64)
        header = carray(argument, 2 * STATE_SIZE, types.uint32)[2 * HEADER_PLACE :]
        ring, first = state[RING], last_frame_time(state[CLIENT])
        buffer = get_buffer(state[PORT], num_frames)
        clear(buffer)
        longest = max_size(buffer)
        while read_space(ring) >= header_size:
            peek(ring, state[SCRATCH], header_size)
            size, kind = header[1] & 0xFFFF, header[1] >> 16
            if read_space(ring) < header_size + size:
                break  # it is being written
            offset = types.int64(types.int32(header[0] - first))
            has_stopped = state[TAKEN] < state[STOPPED]
            if offset >= num_frames and not has_stopped:
                break
            is_recalled = kind == KIND_NOTE and state[TAKEN] < state[NO_NOTES]
            if is_recalled or (kind == KIND_TICK and has_stopped) or size > longest:
                read_advance(ring, header_size + size)
                state[TAKEN] += types.uint64(1)
                continue
            target = reserve(buffer, 0 if has_stopped else max(offset, 0), size)
            if not target:
                break  # the period is full
            read_advance(ring, header_size)
            read(ring, target, size)
            state[TAKEN] += types.uint64(1)
        return 0

    return cfunc(types.int32(types.uint32, types.voidptr))(process)


def _functions(jack: ctypes.CDLL) -> list[Any]:
    """Return the functions of libjack that the callback calls, in the order of their names there."""
    pointer, frames, size = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t
    signatures: dict[str, tuple[Any, ...]] = {
        "jack_last_frame_time": (frames, pointer),
        "jack_port_get_buffer": (pointer, pointer, frames),
        "jack_midi_clear_buffer": (None, pointer),
        "jack_midi_event_reserve": (pointer, pointer, frames, size),
        "jack_midi_max_event_size": (size, pointer),
        "jack_ringbuffer_read_space": (size, pointer),
        "jack_ringbuffer_peek": (size, pointer, pointer, size),
        "jack_ringbuffer_read_advance": (None, pointer, size),
        "jack_ringbuffer_read": (size, pointer, pointer, size),
    }
    found = []
    for name, (result, *arguments) in signatures.items():
        function = getattr(jack, name)
        function.restype, function.argtypes = result, arguments
        found.append(function)
    return found
