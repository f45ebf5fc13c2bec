"""Feeds a connection of the library h2 frame by frame, so that it lives on after GOAWAY: for the library
it is over then, for streams that are open it is not (RFC 9113 section 6.8)."""

from h2.connection import ConnectionState
from h2.events import ConnectionTerminated


class Frames:
    def __init__(self, connection):
        self.connection = connection
        self.bytes = b""

    def events(self, data):
        self.bytes += data
        while len(self.bytes) >= 9:
            end = 9 + int.from_bytes(self.bytes[:3], "big")
            if len(self.bytes) < end:
                return
            frame, self.bytes = self.bytes[:end], self.bytes[end:]
            for event in self.connection.receive_data(frame):
                if isinstance(event, ConnectionTerminated):
                    self.connection.state_machine.state = ConnectionState.CLIENT_OPEN
                yield event
