// The other side of `make bench`: npm's oidc-provider, in memory, at its cheapest for what is measured.
//
//   ./node bench-provider.mjs PORT [signed]    ends when stdin closes
//
// POST /bench/sessions/N   opens N sessions and answers their refresh tokens, one a line
// POST /bench/agents/N     the same for a client with a secret, whose person also asked for `openid`: oidc-agent is one
// POST /bench/tokens/N     issues N access tokens and answers them, one a line
//
// At its cheapest: access tokens are opaque (nothing is signed on refresh; introspection is one look-up), no `openid` scope
// (no ID token), a public client with bearer refresh tokens rotated at each use, and a caller of introspection that shows its
// secret by HTTP Basic. Sessions are put in through the provider's own models, as the login pages would have done.
//
// `signed` has it do what an API that judges tokens offline needs, and we always do: access tokens are JWTs (RFC 9068, ES256).

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

import { memory } from './memory.mjs';

const server = createServer({ keepAliveTimeout: 60_000 });
const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const signed = process.argv[3] === 'signed';
const resource = 'https://notes.example/';
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  adapter: memory(),
  cookies: { keys: ['bench'] },
  jwks: { keys: [{ ...key, use: 'sig', alg: 'ES256', kid: 'bench' }] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clients: [
    {
      client_id: 'bench-cli',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    {
      client_id: 'bench-agent',
      client_secret: 'bench-secret',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://localhost:4242'],
    },
    // Services: `private_key_jwt`, as ours (`BENCH_CLIENT_JWKS` has its public key).
    ...(process.env.BENCH_CLIENT_JWKS
      ? [
          {
            client_id: 'bench-service',
            token_endpoint_auth_method: 'private_key_jwt',
            token_endpoint_auth_signing_alg: 'ES256',
            jwks: JSON.parse(process.env.BENCH_CLIENT_JWKS),
            redirect_uris: [],
            response_types: [],
            grant_types: ['client_credentials'],
            scope: 'notes:read',
          },
        ]
      : []),
    { client_id: 'bench-api', client_secret: 'bench-secret', redirect_uris: [], response_types: [], grant_types: [] },
  ],
  scopes: ['offline_access', 'notes:read'],
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: () => true,
  expiresWithSession: () => false,
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: signed,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'notes:read',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
    dPoP: { enabled: false },
  },
});
provider.on('server_error', (_ctx, error) => console.error(error));

const cli = await provider.Client.find('bench-cli');
const agent = await provider.Client.find('bench-agent');

async function openGrant(number, client = cli) {
  const grant = new provider.Grant({ accountId: `person-${number}`, clientId: client.clientId });
  if (client === agent) grant.addOIDCScope('openid offline_access');
  if (signed) grant.addResourceScope(resource, 'notes:read');
  else grant.addOIDCScope('notes:read');
  return grant.save();
}

const issued = (number, grantId, client = cli) => ({
  accountId: `person-${number}`,
  authTime: Math.floor(Date.now() / 1000),
  client,
  grantId,
  gty: 'authorization_code',
  scope: 'notes:read',
  ...(signed && { resource }),
});

const open = {
  sessions: async (number) => new provider.RefreshToken(issued(number, await openGrant(number))).save(),
  agents: async (number) =>
    new provider.RefreshToken({
      ...issued(number, await openGrant(number, agent), agent),
      scope: 'openid offline_access notes:read',
    }).save(),
  tokens: async (number) => new provider.AccessToken(issued(number, await openGrant(number))).save(),
};

const oidc = provider.callback();
server.on('request', async (request, response) => {
  const asked = /^\/bench\/(sessions|agents|tokens)\/(\d+)$/.exec(request.url);
  if (!asked) return oidc(request, response);
  const lines = [];
  for (let number = 0; number < Number(asked[2]); number += 1) lines.push(await open[asked[1]](number));
  const body = `${lines.join('\n')}\n`;
  response.setHeader('content-length', Buffer.byteLength(body));
  response.end(body);
});

server.listen(port, '127.0.0.1');
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
