"""A server of a test's own, whose connections each have a thread."""
import socket
import struct
import threading


class Listener:
    """Accepts connections until close(); serve(connection) is the test's."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,),
                             daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                self.serve(connection)
            except (OSError, struct.error):  # the client has gone
                pass
