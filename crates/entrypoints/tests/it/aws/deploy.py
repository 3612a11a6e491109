# Deploys the template as an administrator does: bucket, package, secret, stack. Prints what
# the stack gives out. Arguments: endpoint, folder of the templates, package, prefix, settings.
import json
import re
import sys
import time

from servers import client

endpoint, templates, package, prefix, settings = sys.argv[1:]

s3 = client(endpoint, "s3")
s3.create_bucket(
    Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
)
with open(package, "rb") as file:
    s3.put_object(Bucket="code", Key="function.zip", Body=file.read())
secret = client(endpoint, "secretsmanager").create_secret(Name="settings", SecretString=settings)
parameters = {
    "Prefix": prefix,
    "CodeBucket": "code",
    "CodeKey": "function.zip",
    "SettingsSecretArn": secret["ARN"],
    "Architecture": "x86_64",
    "PublicUrl": "https://sync.example.com",
    "MaximumConcurrency": "2",
}
with open(f"{templates}/template.yaml", encoding="utf-8") as file:
    template = file.read()
# The server enforces the rule that wants TLS, and has none.
template, left_out = re.subn(r"\n  QueuesByTlsOnly:\n(    .*\n|\n)*", "\n", template)
assert left_out == 1, "the rule is another one now"
cloudformation = client(endpoint, "cloudformation")
cloudformation.create_stack(
    StackName=prefix,
    TemplateBody=template,
    Capabilities=["CAPABILITY_IAM"],
    Parameters=[
        {"ParameterKey": name, "ParameterValue": value}
        for name, value in parameters.items()
    ],
)
while True:
    stack = cloudformation.describe_stacks(StackName=prefix)["Stacks"][0]
    if not stack["StackStatus"].endswith("IN_PROGRESS"):
        break
    time.sleep(0.1)
if stack["StackStatus"] != "CREATE_COMPLETE":
    for event in cloudformation.describe_stack_events(StackName=prefix)["StackEvents"]:
        print(event.get("LogicalResourceId"), event.get("ResourceStatusReason"), file=sys.stderr)
    sys.exit(f"the stack is {stack['StackStatus']}")
print(json.dumps({output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}))
