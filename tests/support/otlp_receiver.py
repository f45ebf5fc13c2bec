"""A receiver of OTLP over HTTP: decodes what comes with the official protobuf definitions.

POST /v1/traces   spans; answered as `mode` says
GET  /spans       all spans so far, as JSON
GET  /requests    how many times spans came
PUT  /mode        as receiver.py has it; {"reject": N}: each answer says that N spans were not taken
"""

import sys

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from receiver import Handler, mode, serve

spans, raw = [], []


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


class Spans(Handler):
    def do_POST(self):
        body = self.body()
        answer = ExportTraceServiceResponse()
        status = 200
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            status = 404
        elif self.is_planned():
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
        self.answer(status, answer.SerializeToString(), {"Content-Type": "application/x-protobuf"})

    def do_GET(self):
        what = {"/spans": spans, "/requests": len(raw), "/raw": b"".join(raw).hex()}
        self.answer_json(what[self.path])


serve(Spans, sys.argv[1:])
