// A SAML identity provider for tests. Everybody who comes is signed in as the person of the query's `who`.
// Requests must be signed where `signingCert` is given; assertions are encrypted for `encryptionCert`. Whoever was
// signed in is signed out by `/logout`, at the provider itself (`?who=`) or by a request. Standard output: where it is.
import { X509Certificate, randomUUID } from 'node:crypto';
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
  nameIdentifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  lifetimeInSeconds: 300,
  getUserFromRequest: (request) => people(request.query.who ?? 'marie'),
  getPostURL: (_, dom, __, done) =>
    done(null, dom.documentElement.getAttribute('AssertionConsumerServiceURL')),
};

const encryption = given.encryptionCert && {
  encryptionCert: read(given.encryptionCert),
  encryptionPublicKey: new X509Certificate(read(given.encryptionCert)).publicKey.export({ type: 'spki', format: 'pem' }),
  encryptionAlgorithm: given.encryptionAlgorithm,
  signResponse: given.signResponse ?? false,
  warnOnInsecureEncryptionAlgorithm: false,
  disallowEncryptionWithInsecureAlgorithm: false,
};

// Who is signed in where, and logouts under way.
const signedIn = [];
const states = new Map();
const store = {
  save: (_, state, done) => {
    const id = randomUUID();
    states.set(id, state);
    done(null, id);
  },
  update: (_, id, state, done) => done(null, states.set(id, state) && state),
  load: (_, id, ...rest) => rest.at(-1)(null, states.get(id)),
};

const signOut = (who, binding) => {
  const leaving = signedIn.filter((one) => !who || one.nameId === who);
  return samlp.logout({
    issuer: options.issuer,
    cert: options.cert,
    key: options.key,
    deflate: true,
    protocolBinding: `urn:oasis:names:tc:SAML:2.0:bindings:HTTP-${binding === 'post' ? 'POST' : 'Redirect'}`,
    store,
    sessionParticipants: {
      hasElements: () => leaving.length > 0,
      getFirst: (done) => done(null, leaving[0]),
      get: (_, sessions, nameId, done) =>
        done(null, signedIn.find((one) => one.nameId === nameId && sessions.includes(one.sessionIndex))),
      remove: (_, session, nameId, done) => {
        for (const list of [leaving, signedIn]) {
          const at = list.findIndex((one) => one.nameId === nameId && one.sessionIndex === session);
          if (at >= 0) list.splice(at, 1);
        }
        done();
      },
    },
  });
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
  response.redirect = (target) => {
    response.statusCode = 302;
    response.setHeader('location', target);
    response.end();
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
  if (url.pathname === '/logout') {
    // Back from us, or asked by us, it is about everybody the message says; otherwise about `who`.
    // Binding and person are those of the address; on the way back there is none, and nobody is left.
    const binding = request.query.binding ?? (request.method === 'POST' ? 'post' : 'redirect');
    const asked = request.query.SAMLRequest || request.body.SAMLRequest;
    return signOut(asked ? 'nobody else' : request.query.who, binding)(request, response, failed);
  }
  const recipient = new URLSearchParams(url.search).get('acs') ?? given.acs;
  const who = request.query.who ?? 'marie';
  const sessionIndex = given.logout ? randomUUID() : '_session';
  if (given.logout) {
    const { serviceProviderId, serviceProviderLogoutURL } = given.logout;
    const cert = read(given.logout.cert);
    const nameIdFormat = options.nameIdentifierFormat;
    signedIn.push({ serviceProviderId, nameId: who, nameIdFormat, sessionIndex, serviceProviderLogoutURL, cert });
  }
  const found = { ...options, ...encryption, sessionIndex, recipient, destination: recipient };
  return samlp.auth(found)(request, response, failed);
});

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `https://localhost:${server.address().port}` }));
  createInterface({ input: process.stdin }).on('close', () => process.exit(0));
});
