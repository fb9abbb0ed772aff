"""A workload in Python that gets a token just in time, through a client generated from proto/.

python -m pip install grpcio grpcio-tools googleapis-common-protos
python -m grpc_tools.protoc -Iproto --python_out="$GENERATED" --grpc_python_out="$GENERATED" proto/curfew/v1/*.proto
export CURFEW_ADDR CURFEW_CACERT CURFEW_CLIENT_CERT CURFEW_CLIENT_KEY   # the workload's own identity
PYTHONPATH="$GENERATED" python examples/workload.py production https://ledger.example.org
"""

import os
import sys
from pathlib import Path

import grpc
from curfew.v1 import credentials_pb2, credentials_pb2_grpc
from google.rpc import error_details_pb2, status_pb2


def connect():
    """A channel over mutual TLS, with the files that the environment names."""
    ca, chain, key = (
        Path(os.environ[name]).read_bytes() for name in ("CURFEW_CACERT", "CURFEW_CLIENT_CERT", "CURFEW_CLIENT_KEY")
    )
    return grpc.secure_channel(os.environ["CURFEW_ADDR"], grpc.ssl_channel_credentials(ca, key, chain))


def reason(error):
    """The stable reason of a refusal, such as OWNER_NOT_ACTIVE; None if the broker gave none."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    details = status_pb2.Status.FromString(packed).details if packed else []
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in details if detail.Unpack(info)), None)


def main(environment, audience):
    request = credentials_pb2.IssueTokenRequest(environment=environment, audience=audience)
    try:
        issued = credentials_pb2_grpc.CredentialsStub(connect()).IssueToken(request, timeout=10)
    except grpc.RpcError as error:
        sys.exit(f"no token ({reason(error) or error.code().name}): {error.details()}")
    print(f"good until {issued.issuance.expires_at.ToJsonString()}", file=sys.stderr)
    print(issued.token)


main(*sys.argv[1:])
