# Fails unless a dead letter can be received now. Arguments: endpoint, prefix.
import sys

from servers import client

endpoint, prefix = sys.argv[1:]
queues = client(endpoint, "sqs")
url = queues.get_queue_url(QueueName=f"{prefix}-historical-sync-dead")["QueueUrl"]
if not queues.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages"):
    sys.exit("the dead letter cannot be received")
