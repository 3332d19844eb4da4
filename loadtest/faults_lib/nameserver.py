"""A name server on loopback that answers as it is told (RFC 1035), with a time to live of one second."""

import asyncio
import struct


class NameServer(asyncio.DatagramProtocol):
    """`addresses` are what every name has; with `None` it answers SERVFAIL, with `"silent"` not at all."""

    def __init__(self, addresses):
        self.addresses = addresses

    async def start(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self.transport.get_extra_info("sockname")[1]

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        if self.addresses == "silent":
            return
        end = data.index(0, 12) + 5
        kind = struct.unpack(">H", data[end - 4 : end - 2])[0]
        addresses = self.addresses if self.addresses and kind == 1 else []
        head = data[:2] + bytes([0x81, 0x82 if self.addresses is None else 0x80]) + struct.pack(">HHHH", 1, len(addresses), 0, 0)
        records = [b"\xc0\x0c\x00\x01\x00\x01" + struct.pack(">IH", 1, 4) + bytes(map(int, text.split("."))) for text in addresses]
        self.transport.sendto(head + data[12:end] + b"".join(records), peer)
