"""Another implementation's client, PyPI's authlib, for our issuer to be tested against.

Standard input, JSON: { "issuer": URL, "token_endpoint": URL, "steps": [ STEP, ... ] }. A STEP is { "do": NAME, ... }:
  key     { "client_id", "key": a private key in PEM, "kid", "typ", "scope", "resource" }: client credentials by private_key_jwt;
          without "typ" its assertions have the type that the library writes by itself
  secret  { "client_id", "secret", "by": "client_secret_basic" | "client_secret_post", "scope", "resource" }
  assert  { "key", "kid", "iss", "sub", "scope" }: the authorization grant of RFC 7523, section 2.1

Prints one line of JSON for each step: what the token endpoint answered, or {"error": ..., "description": ...}.
"""

import json
import sys
import time

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

job = json.load(sys.stdin)


def granted(session, step):
    asked = {name: step[name] for name in ("scope", "resource") if name in step}
    return session.fetch_token(job["token_endpoint"], grant_type="client_credentials", **asked)


def key(step):
    session = OAuth2Session(step["client_id"], ECKey.import_key(step["key"]), token_endpoint_auth_method="private_key_jwt")
    headers = {"kid": step["kid"]} | ({"typ": step["typ"]} if "typ" in step else {})
    # By itself the library takes the token endpoint for the audience, and an hour for the life. It also writes the `jti` of
    # the first assertion into the claims it is given, and so into every later one: a session is good for one request.
    claims = {"aud": step.get("aud", job["issuer"]), "exp": int(time.time()) + 60}
    session.register_client_auth_method(PrivateKeyJWT(job["token_endpoint"], claims=claims, headers=headers, alg="ES256"))
    return granted(session, step)


def secret(step):
    return granted(OAuth2Session(step["client_id"], step["secret"], token_endpoint_auth_method=step["by"]), step)


def assertion(step):
    session = AssertionSession(
        job["token_endpoint"],
        step["iss"],
        step["sub"],
        audience=job["issuer"],
        scope=step["scope"],
        key=ECKey.import_key(step["key"]),
        header={"alg": "ES256", "kid": step["kid"]},
        expires_in=300,
    )
    return session.refresh_token()


steps = {"key": key, "secret": secret, "assert": assertion}
for step in job["steps"]:
    try:
        print(json.dumps(steps[step["do"]](step)))
    except (OAuthError, OAuth2Error) as error:
        print(json.dumps({"error": error.error, "description": error.description}))
