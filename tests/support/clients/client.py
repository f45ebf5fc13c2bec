# A client in Python, as one would write it: what goes wrong is an exception that nobody catches.
# Arguments: URL AUTHORITY CERTIFICATE KEY (PKCS12) TLS CIPHERS; what is empty is left out.

import ssl
import sys
import urllib.request

url, authority, certificate, key, _, tls, ciphers = sys.argv[1:]
context = ssl.create_default_context(cafile=authority or None)
if certificate:
    context.load_cert_chain(certificate, key)
if tls:
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}[tls]
if ciphers:
    context.set_ciphers(ciphers)
with urllib.request.urlopen(url, context=context, timeout=20) as answer:
    print(answer.status, answer.read().decode())
