"""A gRPC server with generic handlers: messages are plain bytes, no protoc needed.

/keyferry.test.Echo/Unary      one message back, after its metadata as JSON in the initial metadata
/keyferry.test.Echo/Stream     every message back, as it comes
/keyferry.test.Echo/Fail       the status FAILED_PRECONDITION with the message as its text
Every answer ends with the trailer x-messages: how many messages came; that of Stream also with the
metadata trail-NAME of the call as NAME. Writes `port N`. Speaks TLS when given a certificate chain
and its key, in PEM files.
"""

import json
import sys
from concurrent import futures

import grpc


def metadata(context):
    return json.dumps([[k, v] for k, v in context.invocation_metadata()])


def unary(message, context):
    context.send_initial_metadata([("x-seen", metadata(context))])
    context.set_trailing_metadata([("x-messages", "1")])
    return message


def stream(messages, context):
    context.send_initial_metadata([("x-seen", metadata(context))])
    count = 0
    for message in messages:
        count += 1
        yield message
    asked = [(k[6:], v) for k, v in context.invocation_metadata() if k.startswith("trail-")]
    context.set_trailing_metadata([("x-messages", str(count)), *asked])


def fail(message, context):
    context.set_trailing_metadata([("x-messages", "1")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, message.decode())


server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
server.add_generic_rpc_handlers(
    [
        grpc.method_handlers_generic_handler(
            "keyferry.test.Echo",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(unary),
                "Stream": grpc.stream_stream_rpc_method_handler(stream),
                "Fail": grpc.unary_unary_rpc_method_handler(fail),
            },
        )
    ]
)
if len(sys.argv) > 1:
    chain, key = (open(path, "rb").read() for path in sys.argv[1:])
    credentials = grpc.ssl_server_credentials([(key, chain)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port}", flush=True)
server.wait_for_termination()
