// A SAML identity provider for tests. Everybody who comes is signed in as the person of the query's `who`.
// Requests must be signed where `signingCert` is given. Standard output: where it is.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import samlp from 'samlp';

const given = JSON.parse(process.argv[2]);
const read = (name) => readFileSync(name, 'utf8');

const people = (id) => ({
  id,
  displayName: id[0].toUpperCase() + id.slice(1),
  name: { givenName: id, familyName: 'Example' },
  emails: [{ value: `${id}@example.com` }],
  groups: given.groups?.[id] ?? [],
});

const options = {
  issuer: given.issuer,
  cert: read(given.signCert),
  key: read(given.signKey),
  signingCert: given.signingCert ? read(given.signingCert) : undefined,
  sessionIndex: '_session',
  nameIdentifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  lifetimeInSeconds: 300,
  getUserFromRequest: (request) => people(request.query.who ?? 'marie'),
  getPostURL: (_, dom, __, done) =>
    done(null, dom.documentElement.getAttribute('AssertionConsumerServiceURL')),
};

const body = async (request) => {
  let text = '';
  for await (const part of request) text += part;
  return Object.fromEntries(new URLSearchParams(text));
};

const server = createServer({ cert: read(given.cert), key: read(given.key) }, async (request, response) => {
  const url = new URL(request.url, 'https://localhost');
  request.originalUrl = request.url;
  request.protocol = 'https';
  request.query = Object.fromEntries(url.searchParams);
  request.body = request.method === 'POST' ? await body(request) : {};
  response.set = (name, value) => response.setHeader(name, value);
  response.send = (status, text) => {
    if (typeof status === 'number') response.statusCode = status;
    response.end(String(typeof status === 'number' ? (text ?? '') : status));
  };
  const failed = (error) => {
    response.statusCode = 400;
    response.end(String(error));
  };
  if (url.pathname.endsWith('/FederationMetadata.xml')) {
    const { issuer, cert } = options;
    return samlp.metadata({ issuer, cert, redirectEndpointPath: '/saml', postEndpointPath: '/saml' })(
      request,
      response,
    );
  }
  const recipient = new URLSearchParams(url.search).get('acs') ?? given.acs;
  return samlp.auth({ ...options, recipient, destination: recipient })(request, response, failed);
});

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `https://localhost:${server.address().port}` }));
  createInterface({ input: process.stdin }).on('close', () => process.exit(0));
});
