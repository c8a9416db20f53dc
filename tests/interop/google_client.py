"""Gets a token for the external account that GOOGLE_APPLICATION_CREDENTIALS names."""

import sys

import google.auth
import google.auth.transport.requests

credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
try:
    credentials.refresh(google.auth.transport.requests.Request())
except google.auth.exceptions.RefreshError as error:
    print(error)
    sys.exit(1)
print(credentials.token)
