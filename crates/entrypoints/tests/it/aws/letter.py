# Sends what is no job, and waits until the worker has made it a dead letter. Arguments:
# endpoint, prefix.
import sys
import time

from servers import client

endpoint, prefix = sys.argv[1:]
queues = client(endpoint, "sqs")


def url(name):
    return queues.get_queue_url(QueueName=f"{prefix}-{name}")["QueueUrl"]


def count(name):
    wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = queues.get_queue_attributes(QueueUrl=url(name), AttributeNames=wanted)
    return sum(int(number) for number in found["Attributes"].values())


queues.send_message(QueueUrl=url("historical-sync"), MessageBody="no job")
end = time.monotonic() + 60
while (count("historical-sync"), count("historical-sync-dead")) != (0, 1):
    if time.monotonic() > end:
        sys.exit("it is no dead letter")
    time.sleep(0.1)
