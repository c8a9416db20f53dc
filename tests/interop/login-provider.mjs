// An organisation's own provider, npm's oidc-provider, for people to log in here by.
//
// Standard input, first line, JSON: { "redirect_uri", "jwks_uri": ours }
// Prints {"ready": ISSUER}. Ends when standard input closes.
//
//   POST /test/visit {"url", "sub", "name", "preferred_username", "acr", "amr", "ago": seconds, "deny"}
//     somebody goes there with a browser of their own, logs in as that, and is sent back: {"back": URL}
//   POST /test/person {"sub", ...}: who comes with a browser that is not ours

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';
import * as jose from 'jose';

import { memory } from './memory.mjs';

const lines = createInterface({ input: process.stdin });
const job = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const signingKey = { ...(await jose.exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'login' };

const server = createServer();
server.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = {
  redirect_uris: [job.redirect_uri],
  response_types: ['code'],
  grant_types: ['authorization_code'],
  id_token_signed_response_alg: 'ES256',
};

let person = {};
const provider = new Provider(issuer, {
  adapter: memory(),
  jwks: { keys: [signingKey] },
  cookies: { keys: ['login'] },
  clients: [
    { ...client, client_id: 'by-key', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks_uri: job.jwks_uri },
    { ...client, client_id: 'by-secret', client_secret: 'a-secret-of-the-providers', token_endpoint_auth_method: 'client_secret_post' },
  ],
  acrValues: ['phr', 'urn:example:silver'],
  conformIdTokenClaims: false,
  claims: { acr: null, amr: null, auth_time: null, iss: null, sid: null, openid: ['sub'], profile: ['name', 'preferred_username'] },
  clientAuthMethods: ['private_key_jwt', 'client_secret_post'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: person.name, preferred_username: person.preferred_username }) }),
  // It guards its own requests as we guard ours; here everything is on this machine.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  features: { devInteractions: { enabled: false }, claimsParameter: { enabled: true } },
});
provider.on('server_error', (_ctx, error) => console.error(error));
provider.on('grant.error', (_ctx, error) => console.error('grant.error', error.error, error.error_detail));

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (person.deny) {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'no' });
  }
  if (prompt.name === 'login') {
    const { sub: accountId, acr, amr, ago = 0 } = person;
    return provider.interactionFinished(request, response, { login: { accountId, acr, amr, ts: Math.floor(Date.now() / 1000) - ago } });
  }
  const grant = (grantId && (await provider.Grant.find(grantId)))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

/** A browser of a few lines, until it is sent away from here. */
async function visit({ url, ...who }) {
  person = who;
  const cookies = new Map();
  for (let steps = 0; steps < 20; steps += 1) {
    const page = await fetch(url, { redirect: 'manual', headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') } });
    for (const cookie of page.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    const next = page.headers.get('location');
    if (!next) return { status: page.status, text: await page.text() };
    url = new URL(next, url).href;
    if (!url.startsWith(issuer)) return { back: url };
  }
  return { status: 0, text: 'it goes round in circles' };
}

async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

const oidc = provider.callback();
server.on('request', async (request, response) => {
  try {
    if (request.url === '/test/visit') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(await visit(await bodyOf(request))));
    } else if (request.url === '/test/person') {
      person = await bodyOf(request);
      response.end('{}');
    } else if (request.url.startsWith('/interaction/')) {
      await interact(request, response);
    } else {
      oidc(request, response);
    }
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    response.end(String(error));
  }
});

console.log(JSON.stringify({ ready: issuer }));
lines.on('close', () => process.exit(0));
