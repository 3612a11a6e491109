# Invokes the sweep as its schedule does, and fails with what it says if it fails. Arguments:
# endpoint, prefix.
import json
import sys

from servers import client

endpoint, prefix = sys.argv[1:]
functions = client(endpoint, "lambda")
answer = functions.invoke(
    FunctionName=f"{prefix}-sweep", Payload=json.dumps({"source": "aws.events"})
)
if "FunctionError" in answer:
    sys.exit(answer["Payload"].read().decode())
