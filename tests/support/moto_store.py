"""An object store of moto's, with locks and conditions, that checks who signs.

Run in an environment of its own. Standard output: its address, and the credentials of the one user. It ends
with its standard input.
"""

from __future__ import annotations

import json
import os
import sys

# After the four requests below, everybody has to sign.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3
from moto.server import ThreadedMotoServer

BUCKET = sys.argv[1]
ANY = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
options = {
    "endpoint_url": url,
    "region_name": "eu-central-1",
    "aws_access_key_id": "nobody",
    "aws_secret_access_key": "nobody",
}
iam = boto3.client("iam", **options)
iam.create_user(UserName="vallum")
key = iam.create_access_key(UserName="vallum")["AccessKey"]
iam.put_user_policy(
    UserName="vallum",
    PolicyName="store",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [ANY]}),
)
boto3.client("s3", **options).create_bucket(
    Bucket=BUCKET,
    ObjectLockEnabledForBucket=True,
    CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
)
print(json.dumps({"url": url, "key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
sys.stdin.read()
server.stop()
