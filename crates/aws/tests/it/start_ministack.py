# Starts MiniStack with the time of its queues in a file, so that a test can let hours pass.
# It ends with the test, whose end of its input closes.
import os
import sys
import threading
import time


class Driven:
    """The module `time` with another time of day."""

    def __getattr__(self, name):
        return getattr(time, name)

    def time(self):
        with open(os.environ["CLOCK_FILE"], encoding="ascii") as file:
            return int(file.read()) / 1000


import ministack.services.lambda_svc as functions
import ministack.services.sqs as sqs

if os.environ.get("CLOCK_FILE"):
    sqs.time = Driven()

concurrency = functions._sqs_esm_concurrency


def as_a_number(source, *others):
    """A parameter of a template arrives as a text, which AWS takes for a number."""
    scaling = source.get("ScalingConfig") or {}
    if "MaximumConcurrency" in scaling:
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return concurrency(source, *others)


functions._sqs_esm_concurrency = as_a_number


def end_with_the_test():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_the_test, daemon=True).start()
sys.argv = ["ministack"]
from ministack.app import main

main()
