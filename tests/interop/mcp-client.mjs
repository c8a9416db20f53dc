// An MCP client by the public SDK (npm).
//
// Standard input, first line, JSON, one of:
//   { "command", "args", "env", "revision": "modern" | "legacy", "calls": [ { "name", "arguments" }, ... ] }
//     Starts a local server and calls its tools.
//   { "server": URL, "document": URL, "redirect_uri", "scope", "revision", "calls" }
//     Signs in by the client id metadata document, at the issuer that the server names, and calls the server's tools. Prints
//     {"authorize": URL}, then reads the URL that the browser was sent back to from the next line.
// Prints {"connected": revision}, {"result": ...} for each call, {"notified": method} for each notification of the server's.
// Ends with 0, or with 1 and {"failed": ...}.

import { createInterface } from 'node:readline';

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;
const print = (value) => console.log(JSON.stringify(value));
const job = JSON.parse(await nextLine());

const kept = {};
const provider = {
  get redirectUrl() { return job.redirect_uri; },
  clientMetadataUrl: job.document,
  get clientMetadata() {
    return { client_name: 'SDK', redirect_uris: [job.redirect_uri], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none', scope: job.scope };
  },
  state: () => 'a-state-of-its-own',
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  redirectToAuthorization: (url) => print({ authorize: url.href }),
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  codeVerifier: () => kept.verifier,
};

function transport() {
  if (job.command) return new StdioClientTransport({ command: job.command, args: job.args, env: job.env, stderr: 'inherit' });
  return new StreamableHTTPClientTransport(new URL(job.server), { authProvider: provider });
}

function makeClient() {
  const mode = job.revision === 'legacy' ? 'legacy' : { pin: '2026-07-28' };
  const client = new Client({ name: 'interop', version: '1.0.0' }, { versionNegotiation: { mode } });
  client.fallbackNotificationHandler = async ({ method }) => print({ notified: method });
  return client;
}

try {
  let client = makeClient();
  let way = transport();
  try {
    await client.connect(way);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await way.finishAuth(new URL(await nextLine()).searchParams);
    client = makeClient();
    way = transport();
    await client.connect(way);
  }
  print({ connected: client.getNegotiatedProtocolVersion?.() ?? null, client_id: kept.client?.client_id });
  const { tools } = await client.listTools();
  print({ tools: tools.map(({ name }) => name) });
  for (const { name, arguments: given = {} } of job.calls) {
    const onprogress = ({ progress }) => print({ progress });
    const { content } = await client.callTool({ name, arguments: given }, { onprogress });
    print({ name, result: JSON.parse(content[0].text) });
  }
  if (job.linger) await new Promise((done) => setTimeout(done, job.linger));
  await client.close();
} catch (error) {
  print({ failed: String(error?.message ?? error), code: error?.code });
  process.exitCode = 1;
}
process.stdin.destroy();
