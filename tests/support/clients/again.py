# Four connections one after the other, each resuming the session of the one before.
# Arguments as of client.py; TLS is the one version that is spoken.

import socket
import ssl
import sys
from urllib.parse import urlsplit

url, authority, certificate, key, _, tls, _ = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.load_cert_chain(certificate, key)
version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
context.minimum_version = context.maximum_version = version
to, session = urlsplit(url), None
for _ in range(4):
    with socket.create_connection((to.hostname, to.port), timeout=20) as tcp:
        with context.wrap_socket(tcp, server_hostname=to.hostname, session=session) as link:
            link.sendall(f"GET / HTTP/1.1\r\nHost: {to.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := link.recv(4096):
                answer += part
            session = link.session
    print(answer.split(b" ")[1].decode())
