// An OpenID provider for tests. Everybody who comes is signed in as `login_hint`, or as marie.
// It can be somebody else's likeness: `issuer`, the `prefixes` below which it is, its `routes`, what it `publishes`
// otherwise (null: not at all), `plainAnswers` without `iss`, and whatever `claims` people have in their ID tokens.
// Standard input: `roll` replaces the signing key. Standard output: the issuer, then what was done.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const given = JSON.parse(process.argv[2]);
let current;

const key = () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomUUID() };
};

const claims = (sub) => ({
  sub,
  name: sub[0].toUpperCase() + sub.slice(1),
  preferred_username: sub,
  email: `${sub}@example.com`,
  email_verified: true,
  groups: given.groups?.[sub] ?? [],
  ...given.claims?.[sub],
});
const more = Object.values(given.claims ?? {}).flatMap((one) => Object.keys(one));

const provide = (issuer) => {
  const provider = new Provider(issuer, {
    clients: given.clients,
    jwks: { keys: [key()] },
    cookies: { keys: [randomUUID()] },
    conformIdTokenClaims: false,
    claims: {
      openid: ['sub', ...more],
      profile: ['name', 'preferred_username', 'groups'],
      email: ['email', 'email_verified'],
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => claims(sub) }),
    routes: given.routes,
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    // Its own one refuses to talk to this machine, where the tests are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    pkce: { required: () => true },
    ttl: { IdToken: 300, Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 300 },
  });
  for (const event of ['server_error', 'backchannel.error']) {
    provider.on(event, (_, error) => console.error(event, error));
  }
  return provider;
};

const interact = async (request, response) => {
  const { params, prompt, session, grantId } = await current.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const login = { accountId: params.login_hint ?? 'marie', amr: ['pwd'] };
    return current.interactionFinished(request, response, { login });
  }
  const grant =
    (grantId && (await current.Grant.find(grantId))) ??
    new current.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return current.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
};

// As another provider answers: without `iss`, and with metadata of its own.
const disguise = (request, response) => {
  const prefix = (given.prefixes ?? []).find((one) => request.url.startsWith(`${one}/`));
  if (prefix) {
    request.originalUrl = request.url;
    request.url = request.url.slice(prefix.length);
  }
  const { setHeader, end } = response;
  if (given.plainAnswers) {
    response.setHeader = function (name, value) {
      const location = name.toLowerCase() === 'location';
      return setHeader.call(this, name, location ? value.replace(/&iss=[^&]*/, '') : value);
    };
  }
  if (given.publishes && request.url === '/.well-known/openid-configuration') {
    response.end = function (body) {
      const text = JSON.stringify({ ...JSON.parse(body), ...given.publishes }, (_, value) => value ?? undefined);
      setHeader.call(this, 'content-length', Buffer.byteLength(text));
      return end.call(this, text);
    };
  }
};

const server = createServer(
  { cert: readFileSync(given.cert), key: readFileSync(given.key) },
  (request, response) => {
    disguise(request, response);
    const done = request.url.startsWith('/interaction/')
      ? interact(request, response)
      : current.callback()(request, response);
    Promise.resolve(done).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  },
);

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = given.issuer ?? `https://localhost:${port}`;
  current = provide(issuer);
  console.log(JSON.stringify({ issuer, port }));
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      if (line === 'roll') current = provide(issuer);
      console.log(JSON.stringify({ done: line }));
    })
    .on('close', () => process.exit(0));
});
