// Another implementation's authorization server, for the holder to be tested against: npm's oidc-provider with its pages
// answered by a person who always says the same.
//
//   ./node provider.mjs [PORT [ISSUER]]        0, the default, takes a free port
//
// ISSUER is what it calls itself if something else ends TLS in front of it, and says so in X-Forwarded-Proto and -Host.
//
// Prints one line of JSON when it listens: {"ready": ISSUER, "client_id": ..., "resource": ..., "port": ...}.
// Ends when standard input closes, so that it cannot outlive the test that started it.
//
// To drive it (all on the same port):
//   GET  an authorization URL, following redirects with a cookie jar: ends at the redirect URI, approved or denied
//   POST /test/person  {"answer": "approve" | "deny"}   what the person says from now on (approve at first)
//   POST /test/device  {"user_code": ...}                the person goes to the device page and answers
//   POST /test/cut     {"refresh_token": ...}            its grant is taken back, as an administrator would
//   GET  /test/seen                                      the token endpoint's requests so far: [{grant_type, status, error, dpop}]

import { createServer } from 'node:http';

import Provider, { errors } from 'oidc-provider';
import * as jose from 'jose';

import { memory } from './memory.mjs';

const RESOURCE = 'https://notes.example';
const PERSON = 'alice';

const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const signingKey = { ...(await jose.exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'interop' };

const server = createServer();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const { port } = server.address();
const here = `http://127.0.0.1:${port}`;
const issuer = process.argv[3] ?? here;

const native = {
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  response_types: ['code'],
  // The port of a loopback redirect is not compared (RFC 8252, section 7.3).
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback', 'http://127.0.0.1/', 'http://[::1]/'],
  id_token_signed_response_alg: 'ES256',
};

const provider = new Provider(issuer, {
  adapter: memory(),
  jwks: { keys: [signingKey] },
  cookies: { keys: ['interop'] },
  clients: [
    { ...native, client_id: 'native-cli' },
    { ...native, client_id: 'bound-cli', dpop_bound_access_tokens: true },
    { client_id: 'api', client_secret: 'api-secret-for-tests-only', redirect_uris: [], response_types: [], grant_types: [] },
  ],
  scopes: ['openid', 'offline_access', 'notes:read', 'notes:write'],
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.org` }) }),
  // A command line asks for a refresh token by using the grant; its life is not a browser's.
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(_ctx, resource) {
        if (resource !== RESOURCE) throw new errors.InvalidTarget();
        return {
          scope: 'notes:read notes:write',
          audience: RESOURCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
});
// Plain HTTP on loopback is what a test has.
provider.on('server_error', (_ctx, error) => console.error(error));

provider.proxy = issuer !== here;

let answer = 'approve';
const seen = [];

/** What the person sees and answers: login, then consent to all that was asked. */
async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (answer === 'deny') {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'the person said no' });
  }
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: PERSON, amr: ['pwd'] } });
  }
  const grant = (grantId && (await provider.Grant.find(grantId)))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

/** A browser of a few lines: follows redirects within the provider and keeps cookies. It sits behind what ends TLS. */
function browser() {
  const cookies = new Map();
  const forwarded = issuer === here ? {} : { 'x-forwarded-proto': 'https', 'x-forwarded-host': new URL(issuer).host };
  return async function visit(url, form) {
    for (;;) {
      const page = await fetch(url.replace(issuer, here), {
        redirect: 'manual',
        method: form ? 'POST' : 'GET',
        headers: { ...forwarded, cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        body: form && new URLSearchParams(form),
      });
      for (const cookie of page.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (value) cookies.set(name, value);
        else cookies.delete(name);
      }
      const next = page.headers.get('location');
      if (!next) return { status: page.status, text: await page.text() };
      url = new URL(next, url).href;
      form = undefined;
    }
  };
}

/** The device page, from code entry to the last answer. */
async function answerDevice(userCode) {
  const visit = browser();
  const xsrf = (page) => /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
  const entry = await visit(`${issuer}/device`);
  const confirm = await visit(`${issuer}/device`, { xsrf: xsrf(entry), user_code: userCode });
  if (!xsrf(confirm)) return { done: false, page: confirm.text };
  const last = await visit(`${issuer}/device`, {
    xsrf: xsrf(confirm),
    user_code: userCode,
    ...(answer === 'deny' ? { abort: 'yes' } : { confirm: 'yes' }),
  });
  return { done: answer === 'deny' || /Sign-in Success/.test(last.text), page: last.text };
}

async function cut(refreshToken) {
  const found = await provider.RefreshToken.find(refreshToken);
  if (!found) return { done: false };
  const grant = await provider.Grant.find(found.grantId);
  await grant.destroy();
  await found.destroy();
  return { done: true };
}

async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

const controls = {
  'POST /test/person': async ({ answer: next }) => {
    answer = next;
    return { answer };
  },
  'POST /test/device': ({ user_code }) => answerDevice(user_code),
  'POST /test/cut': ({ refresh_token }) => cut(refresh_token),
  'GET /test/seen': () => seen,
};

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/token') {
    seen.push({
      grant_type: ctx.oidc?.body?.grant_type,
      status: ctx.status,
      error: ctx.body?.error,
      dpop: Boolean(ctx.get('dpop')),
    });
  }
});

const oidc = provider.callback();
server.on('request', async (request, response) => {
  try {
    const control = controls[`${request.method} ${request.url}`];
    if (control) {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(await control(await bodyOf(request))));
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

console.log(JSON.stringify({ ready: issuer, client_id: 'native-cli', bound_client_id: 'bound-cli', resource: RESOURCE, port }));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
