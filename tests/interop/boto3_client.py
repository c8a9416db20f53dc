"""Asks STS at the address given who it is, COUNT times, with credentials from wherever boto3 finds them."""

import sys

import boto3

address, count = sys.argv[1], int(sys.argv[2])
session = boto3.Session(region_name="eu-central-1")
for _ in range(count):
    print(session.client("sts", endpoint_url=address).get_caller_identity()["Arn"])
