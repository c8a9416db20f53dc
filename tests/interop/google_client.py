"""Gets a token for the external account that GOOGLE_APPLICATION_CREDENTIALS names, with the scopes that are given."""

import sys

import google.auth
import google.auth.transport.requests

scopes = sys.argv[1:] or ["https://www.googleapis.com/auth/cloud-platform"]
credentials, _ = google.auth.default(scopes=scopes)
try:
    credentials.refresh(google.auth.transport.requests.Request())
except google.auth.exceptions.RefreshError as error:
    print(error)
    sys.exit(1)
print(credentials.token)
