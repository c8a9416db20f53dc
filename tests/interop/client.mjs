// Another implementation's client, npm's openid-client, for our issuer to be tested against.
//
// Standard input, first line, JSON:
//   { "issuer": URL,
//     "clients": { NAME ("cli" unless a step says which): { "client_id": ..., "redirect_uri": ..., "key", "kid": for a client that is not public, its private
//                          key as PKCS #8 in base64, and that key's id; "typ": the type of its assertions, where it is
//                          not the library's own; or "secret", and "by": "basic" | "post" } },
//     "now": what time it is there, in seconds, where that is not here's,
//     "dpop": true or absent,
//     "steps": [ STEP, ... ] }
// A STEP is its name or { "do": NAME, ... }:
//   discover                    { "algorithm": "oidc" | "oauth2" }
//   register                    { "token", "metadata", "as": NAME }: by an initial access token; the client is NAME from then on
//   code                        { "client", "scope", "resource", "parameters", "push": true if it is to be pushed first }: prints {"authorize": URL}, then reads the URL
//                               that the browser was sent back to from the next line of standard input
//   device                      { "client", "scope", "resource" }: prints {"device": {...}}, then polls until answered
//   refresh                     { "client", "resource", "scope", "token": "first" }: with the newest refresh token, or the first
//   userinfo                    with the newest access token
//   introspect, revoke          { "client", "of": "access_token" | "refresh_token" }
//   client_credentials          { "client", "scope", "resource" }
// Any may carry "refused": true: then the answer has to be an error, and that is the result.
//
// Prints one line of JSON for each step, {"step": NAME, ...}; ends with 0 when all went as asked, else with 1 and a line
// {"step": NAME, "failed": {...}}.

import { createInterface } from 'node:readline';

import * as client from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;
const print = (value) => console.log(JSON.stringify(value));

const job = JSON.parse(await nextLine());
const keyPair = job.dpop ? await client.randomDPoPKeyPair('ES256') : undefined;
const skew = job.now ? job.now - Math.floor(Date.now() / 1000) : 0;
const configurations = new Map();
const handles = new Map();
/** What the steps so far brought: tokens by kind, newest and first. */
const held = { first: {}, newest: {} };

async function authentication({ key, kid, typ, secret, by }) {
  if (secret) return by === 'post' ? client.ClientSecretPost(secret) : client.ClientSecretBasic(secret);
  if (!key) return client.None();
  const p256 = { name: 'ECDSA', namedCurve: 'P-256' };
  const imported = await crypto.subtle.importKey('pkcs8', Buffer.from(key, 'base64'), p256, false, ['sign']);
  const options = typ ? { [client.modifyAssertion]: (header) => Object.assign(header, { typ }) } : undefined;
  return client.PrivateKeyJwt({ key: imported, kid }, options);
}

async function configuration(name = 'cli', algorithm = 'oidc') {
  const known = `${name} ${algorithm}`;
  if (!configurations.has(known)) {
    const found = await client.discovery(
      new URL(job.issuer),
      job.clients[name].client_id,
      { id_token_signed_response_alg: 'ES256', [client.clockSkew]: skew },
      await authentication(job.clients[name]),
      { algorithm, execute: [client.allowInsecureRequests] }, // plain HTTP on loopback is what a test has
    );
    configurations.set(known, found);
  }
  return configurations.get(known);
}

/** The proof of possession, for requests that carry or ask for a bound token. */
function bound(config) {
  if (!keyPair) return undefined;
  if (!handles.has(config)) handles.set(config, client.getDPoPHandle(config, keyPair));
  return { DPoP: handles.get(config) };
}

const present = (parameters) => Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));

function keep(tokens) {
  for (const kind of ['access_token', 'refresh_token', 'id_token']) {
    if (tokens[kind]) {
      held.newest[kind] = tokens[kind];
      held.first[kind] ??= tokens[kind];
    }
  }
  const claims = tokens.claims();
  if (claims) held.subject = claims.sub;
  return { ...tokens, claims };
}

const steps = {
  async discover({ algorithm }) {
    return { metadata: (await configuration(undefined, algorithm)).serverMetadata() };
  },

  async register({ token, metadata, as }) {
    const found = await client.dynamicClientRegistration(new URL(job.issuer), metadata, client.None(), {
      initialAccessToken: token,
      execute: [client.allowInsecureRequests],
    });
    const registered = found.clientMetadata();
    job.clients[as] = { client_id: registered.client_id, redirect_uri: registered.redirect_uris[0] };
    return { registered };
  },

  async code({ client: name, scope = 'openid', resource, parameters, push }) {
    const config = await configuration(name);
    const codeVerifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = scope.split(' ').includes('openid') ? client.randomNonce() : undefined;
    const redirect_uri = job.clients[name ?? 'cli'].redirect_uri;
    const dpop_jkt = keyPair ? await bound(config).DPoP.calculateThumbprint() : undefined;
    const asked = present({
      redirect_uri,
      scope,
      resource,
      state,
      nonce,
      dpop_jkt,
      code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
      ...parameters,
    });
    const url = push
      ? await client.buildAuthorizationUrlWithPAR(config, asked, bound(config))
      : client.buildAuthorizationUrl(config, asked);
    print({ authorize: url.href });
    const checks = { pkceCodeVerifier: codeVerifier, expectedState: state, expectedNonce: nonce };
    const back = new URL(await nextLine());
    return keep(await client.authorizationCodeGrant(config, back, checks, present({ resource }), bound(config)));
  },

  async device({ client: name, scope = 'openid', resource }) {
    const config = await configuration(name);
    const device = await client.initiateDeviceAuthorization(config, present({ scope, resource }));
    print({ device });
    return keep(await client.pollDeviceAuthorizationGrant(config, device, undefined, bound(config)));
  },

  async refresh({ client: name, token = 'newest', scope, resource }) {
    const config = await configuration(name);
    const parameters = present({ scope, resource });
    return keep(await client.refreshTokenGrant(config, held[token].refresh_token, parameters, bound(config)));
  },

  async userinfo({ client: name }) {
    const config = await configuration(name);
    const subject = held.subject ?? client.skipSubjectCheck;
    return { userinfo: await client.fetchUserInfo(config, held.newest.access_token, subject, bound(config)) };
  },

  async introspect({ client: name, of = 'access_token' }) {
    const parameters = { token_type_hint: of };
    return { introspection: await client.tokenIntrospection(await configuration(name), held.newest[of], parameters) };
  },

  async revoke({ client: name, of = 'refresh_token' }) {
    await client.tokenRevocation(await configuration(name), held.newest[of], { token_type_hint: of });
    return {};
  },

  async client_credentials({ client: name, scope, resource }) {
    const config = await configuration(name);
    return keep(await client.clientCredentialsGrant(config, present({ scope, resource }), bound(config)));
  },
};

/** The error that the other side told: in the body, or in a challenge. */
const toldBy = (error) => error.error ?? (Array.isArray(error.cause) ? error.cause[0]?.parameters?.error : undefined);

/** What went wrong, as far as the other side said. */
function reason(error) {
  return present({
    error: toldBy(error) ?? error.code ?? error.name,
    description: error.error_description,
    status: error.status,
    message: error.message,
    cause: error.cause && !error.error ? String(error.cause?.message ?? JSON.stringify(error.cause)) : undefined,
  });
}

for (const asked of job.steps) {
  const step = typeof asked === 'string' ? { do: asked } : asked;
  try {
    const result = await steps[step.do](step);
    if (step.refused) {
      print({ step: step.do, failed: { error: 'accepted', message: 'should have been refused' }, ...result });
      process.exit(1);
    }
    print({ step: step.do, ...result });
  } catch (error) {
    if (step.refused && toldBy(error)) {
      print({ step: step.do, refused: reason(error) });
    } else {
      print({ step: step.do, failed: reason(error) });
      process.exit(1);
    }
  }
}
process.exit(0);
