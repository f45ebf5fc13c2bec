"""A receiver of OTLP over HTTP: decodes what comes with the official protobuf definitions.

POST /v1/traces   spans; answered as `mode` says
GET  /spans       all spans so far, as JSON
GET  /requests    how many times spans came
PUT  /mode        {"answer": STATUS, "times": N}: so many posts are answered thus, and then 200;
                  {"reject": N}: each answer says that N spans were not taken; {}: all is well again
Writes `port N`. Speaks TLS when given a certificate chain and its key, in PEM files.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

spans, raw, mode = [], [], {}


def values(attributes):
    told = {}
    for attribute in attributes:
        assert attribute.key not in told, f"{attribute.key} twice"
        told[attribute.key] = getattr(attribute.value, attribute.value.WhichOneof("value"))
    return told


def told(span, resource, scope):
    return {
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": values(span.attributes),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "status": Status.StatusCode.Name(span.status.code),
        "resource": values(resource.attributes),
        "scope": scope.name,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = ExportTraceServiceResponse()
        status = 200
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            status = 404
        elif mode.get("times", 0) > 0:
            mode["times"] -= 1
            status = mode["answer"]
        else:
            request = ExportTraceServiceRequest()
            try:
                request.ParseFromString(body)
            except DecodeError:
                status = 400
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        spans.append(told(span, resource.resource, scope.scope))
            if "reject" in mode:
                answer.partial_success.rejected_spans = mode["reject"]
                answer.partial_success.error_message = "too many for me"
        raw.append(body)
        self.answer(status, answer.SerializeToString(), "application/x-protobuf")

    def do_PUT(self):
        mode.clear()
        mode.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(200, b"{}", "application/json")

    def do_GET(self):
        what = {"/spans": spans, "/requests": len(raw), "/raw": b"".join(raw).hex()}
        self.answer(200, json.dumps(what[self.path]).encode(), "application/json")

    def answer(self, status, body, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
