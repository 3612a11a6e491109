# Clients of the server that stands for AWS, for the scripts beside this file.
import botocore.session


def client(endpoint, service):
    # The account's root, whom the server knows by the account's number.
    return botocore.session.get_session().create_client(
        service,
        region_name="eu-central-1",
        endpoint_url=endpoint,
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )
