"""Certificates of one run: an authority for servers, one for clients, and what both have signed."""

import base64
import hashlib
import ssl

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization


class Certificates:
    """PEM files in a folder."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        servers, clients = trustme.CA(), trustme.CA()
        self.ca = self._write("ca.pem", servers.cert_pem.bytes())
        self.client_ca = self._write("client-ca.pem", clients.cert_pem.bytes())
        self.shop = self._issue(servers, "shop", "shop.test", "localhost", "127.0.0.1")
        self.apps = self._issue(servers, "apps", "*.apps.test")
        self.origin = self._issue(servers, "origin", "origin.test", "localhost", "127.0.0.1")
        self.client = self._issue(clients, "client", "alice@clients.test")
        self.stranger = self._issue(trustme.CA(), "stranger", "mallory@clients.test")

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _issue(self, authority, name, *identities):
        issued = authority.issue_cert(*identities, common_name=identities[0])
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self._write(f"{name}.crt", chain), self._write(f"{name}.key", issued.private_key_pem.bytes())

    def context(self, *alpn):
        """How a client of Python sees TLS: it trusts the servers' authority alone."""
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def server_context(self, pair):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        return context

    @staticmethod
    def key_hash(pair):
        """The hash of a certificate's key, by which a browser can be told to believe it."""
        key = x509.load_pem_x509_certificate(pair[0].read_bytes()).public_key()
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()
