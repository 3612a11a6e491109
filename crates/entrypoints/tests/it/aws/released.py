# Fails unless a dead letter can be received now. Arguments: endpoint, prefix.
import sys

import botocore.session

endpoint, prefix = sys.argv[1:]
queues = botocore.session.get_session().create_client(
    "sqs",
    region_name="eu-central-1",
    endpoint_url=endpoint,
    aws_access_key_id="000000000000",
    aws_secret_access_key="test",
)
url = queues.get_queue_url(QueueName=f"{prefix}-historical-sync-dead")["QueueUrl"]
if not queues.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages"):
    sys.exit("the dead letter cannot be received")
