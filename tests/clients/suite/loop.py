"""An event loop on a thread of its own: one for the origins, one for clients that want one."""

import asyncio
import threading


class Loop:
    def __init__(self, name):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name=name).start()

    def run(self, coroutine, seconds=15):
        """The coroutine's result, run on the loop from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def call(self, function):
        self._loop.call_soon_threadsafe(function)
