// An MCP server by the public SDK (npm), whose tokens are ours.
//
// Standard input, first line, JSON: { "issuer": URL, "jwks": URL, "key", "certificate": PEM files, or absent for plain HTTP,
//   "now": what time it is there, in seconds, where that is not here's }
// Prints {"url": where it is}, and then {"request": {"method", "headers": names, ...}} for each request it takes.
//
// /mcp speaks 2026-07-28, and what was before without a session; /old speaks 2025-11-25 with a session.
// Tools: whoami (who the token says it is), repeat (the token itself, as a careless server would), region (an argument that is
// repeated in a header), slow (tells how far it is, and answers after a moment).

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';

import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler, fromJsonSchema, verifyBearerToken, bearerAuthChallengeResponse, OAuthError, OAuthErrorCode } from '@modelcontextprotocol/server';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const job = JSON.parse((await lines.next()).value);
const print = (value) => console.log(JSON.stringify(value));
const keys = createRemoteJWKSet(new URL(job.jwks));
const skew = job.now ? job.now - Math.floor(Date.now() / 1000) : 0;

const text = (value) => ({ content: [{ type: 'text', text: JSON.stringify(value) }] });
const schema = (properties) => fromJsonSchema({ type: 'object', properties });

function makeServer() {
  const server = new McpServer({ name: 'notes', version: '1.0.0' }, { capabilities: { logging: {} } });
  server.registerTool('whoami', { inputSchema: schema({}) }, async (_, ctx) => text(ctx.http.authInfo.extra));
  server.registerTool('repeat', { inputSchema: schema({}) }, async (_, ctx) => text({ sent: ctx.http.authInfo.token }));
  const region = schema({ region: { type: 'string', 'x-mcp-header': 'Region' } });
  server.registerTool('region', { inputSchema: region }, async ({ region }) => text({ region }));
  server.registerTool('slow', { inputSchema: schema({}) }, async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    if (progressToken !== undefined) {
      await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 2 } });
    }
    await new Promise((done) => setTimeout(done, 200));
    return text({ slow: true });
  });
  return server;
}

let resource;
const verifier = {
  async verifyAccessToken(token) {
    try {
      const currentDate = new Date(Date.now() + skew * 1000);
      const { payload } = await jwtVerify(token, keys, { issuer: job.issuer, audience: resource, typ: 'at+jwt', currentDate });
      const { sub, client_id, scope, act } = payload;
      const expiresAt = payload.exp - skew;
      return { token, clientId: client_id, scopes: scope.split(' '), expiresAt, resource: new URL(resource), extra: { sub, client_id, scope, act } };
    } catch (error) {
      throw new OAuthError(OAuthErrorCode.InvalidToken, error.message);
    }
  },
};

const modern = toNodeHandler(createMcpHandler(makeServer));
const sessions = new Map();

async function old(req, res) {
  const id = req.headers['mcp-session-id'];
  let transport = sessions.get(id);
  if (id && !transport) {
    res.writeHead(404).end();
    return;
  }
  if (!transport) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (session) => sessions.set(session, transport),
      onsessionclosed: (session) => sessions.delete(session),
    });
    const server = makeServer();
    server.server.oninitialized = () => setTimeout(() => server.sendToolListChanged(), 50);
    await server.connect(transport);
  }
  await transport.handleRequest(req, res);
}

async function serve(req, res) {
  const path = new URL(req.url, 'http://here').pathname;
  print({ request: { method: req.method, path, headers: Object.keys(req.headers), mcp: Object.fromEntries(Object.entries(req.headers).filter(([name]) => name.startsWith('mcp-'))) } });
  const at = path === '/old' ? '/old' : '/mcp';
  const metadata = `${origin}/.well-known/oauth-protected-resource${at}`;
  if (path.startsWith('/.well-known/oauth-protected-resource')) {
    const of = path.endsWith('/old') ? `${origin}/old` : `${origin}/mcp`;
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ resource: of, authorization_servers: [job.issuer], scopes_supported: ['notes:read'] }));
    return;
  }
  if (path !== '/mcp' && path !== '/old') {
    res.writeHead(404).end();
    return;
  }
  resource = `${origin}${at}`;
  try {
    const authorization = req.headers.authorization ?? null;
    req.auth = await verifyBearerToken(authorization, { verifier, requiredScopes: ['notes:read'], resourceMetadataUrl: metadata });
  } catch (error) {
    const refusal = bearerAuthChallengeResponse(error, { requiredScopes: ['notes:read'], resourceMetadataUrl: metadata });
    res.writeHead(refusal.status, Object.fromEntries(refusal.headers)).end(await refusal.text());
    return;
  }
  await (path === '/old' ? old(req, res) : modern(req, res));
}

const tls = job.key && { key: readFileSync(job.key), cert: readFileSync(job.certificate) };
const listener = tls ? https.createServer(tls, serve) : http.createServer(serve);
let origin;
listener.listen(0, '127.0.0.1', () => {
  origin = `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${listener.address().port}`;
  print({ url: origin });
});
