# Creates the network of an egress group as an administrator does, as far as the server that
# stands for AWS knows its parts: it has no addresses and no NAT gateways, so these and the way
# to them are left out. Prints the subnets that were created. Arguments: endpoint, folder of the
# templates.
import json
import re
import sys
import time

from servers import client

endpoint, templates = sys.argv[1:]

with open(f"{templates}/egress.yaml", encoding="utf-8") as file:
    template = file.read()
for resource in ["Address", "Nat", "PrivateRoute", "Address"]:
    template, left_out = re.subn(
        rf"^  {resource}:\n(    .*\n|\n)*", "", template, count=1, flags=re.MULTILINE
    )
    assert left_out == 1, f"{resource} is another one now"
cloudformation = client(endpoint, "cloudformation")
cloudformation.create_stack(StackName="egress", TemplateBody=template)
while True:
    stack = cloudformation.describe_stacks(StackName="egress")["Stacks"][0]
    if not stack["StackStatus"].endswith("IN_PROGRESS"):
        break
    time.sleep(0.1)
if stack["StackStatus"] != "CREATE_COMPLETE":
    for event in cloudformation.describe_stack_events(StackName="egress")["StackEvents"]:
        print(event.get("LogicalResourceId"), event.get("ResourceStatusReason"), file=sys.stderr)
    sys.exit(f"the stack is {stack['StackStatus']}")
outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
ec2 = client(endpoint, "ec2")
subnets = ec2.describe_subnets(SubnetIds=outputs["SubnetIds"].split(","))["Subnets"]
groups = ec2.describe_security_groups(GroupIds=[outputs["SecurityGroupIds"]])
print(
    json.dumps(
        {
            "subnets": [
                {"zone": subnet["AvailabilityZone"], "network": subnet["CidrBlock"]}
                for subnet in subnets
            ],
            "opened": groups["SecurityGroups"][0]["IpPermissions"],
        }
    )
)
