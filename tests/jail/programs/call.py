"""A call of gRPC, by its library in C: it has a resolver and an event loop of its own."""
import sys

import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        print(channel.unary_unary("/day/Echo")(b"over grpc", timeout=10).decode())
    except grpc.RpcError as error:
        sys.exit(error.code().name)
