"""A SPIFFE Workload API, on the Unix socket that is named, until standard input closes.

gRPC is the real library, and messages and service are those that the `spiffe` package was generated from. SVIDs are signed by
an address that gives a token for whoever is named (a GET with `audience`, shown the key in the environment). What the
workload is, in one word, is told on standard input, a line at a time: `registered`, `unknown` or `away`. With `--client`,
this is the `spiffe` package's own client instead: it asks that socket, and prints the SVID.
"""

import json
import os
import sys
import urllib.parse
import urllib.request
from concurrent import futures

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

# The socket; then the address that signs, or, for the client, the audience.
socket, signer = sys.argv[-2:]


class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    state = "registered"

    def FetchJWTSVID(self, request, context):
        # SPIFFE Workload Endpoint, section 6.
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        # SPIRE's own words.
        if self.state == "unknown":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        if self.state == "away":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the agent is starting: 100% of nothing")
        query = urllib.parse.urlencode({"audience": list(request.audience)}, doseq=True)
        asked = urllib.request.Request(
            f"{signer}&{query}", headers={"Authorization": f"bearer {os.environ['JOB_KEY']}"}
        )
        with urllib.request.urlopen(asked) as answer:
            svid = json.load(answer)["value"]
        first = workload_pb2.JWTSVID(spiffe_id="spiffe://prod.example/ci/site", svid=svid)
        second = workload_pb2.JWTSVID(spiffe_id="spiffe://prod.example/other", svid="e.e.e")
        return workload_pb2.JWTSVIDResponse(svids=[first, second])


def serve():
    api = WorkloadApi()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("ready", flush=True)
    for line in sys.stdin:
        api.state = line.strip()
        print(api.state, flush=True)
    server.stop(None)


def ask():
    from spiffe import WorkloadApiClient

    audience = signer
    with WorkloadApiClient(f"unix://{socket}") as client:
        print(client.fetch_jwt_svid(audience={audience}).token)


ask() if sys.argv[1] == "--client" else serve()
