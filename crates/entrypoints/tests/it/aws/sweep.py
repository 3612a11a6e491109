# Invokes the sweep as its schedule does, and fails with what it says if it fails. Arguments:
# endpoint, prefix.
import json
import sys

import botocore.session

endpoint, prefix = sys.argv[1:]
functions = botocore.session.get_session().create_client(
    "lambda",
    region_name="eu-central-1",
    endpoint_url=endpoint,
    aws_access_key_id="000000000000",
    aws_secret_access_key="test",
)
answer = functions.invoke(
    FunctionName=f"{prefix}-sweep", Payload=json.dumps({"source": "aws.events"})
)
if "FunctionError" in answer:
    sys.exit(answer["Payload"].read().decode())
