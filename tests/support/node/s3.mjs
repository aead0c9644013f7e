// An object store of its own that checks signatures by aws4, another implementation than the one that signs.
// It knows no conditions: it refuses them, or passes over them. Standard output: its address.
import aws4 from 'aws4';
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const given = JSON.parse(process.argv[2]);
const credentials = { accessKeyId: given.key, secretAccessKey: given.secret };
const objects = new Map();
const sha256 = (body) => createHash('sha256').update(body).digest('hex');

const problem = (request, body) => {
  const sent = request.headers.authorization ?? '';
  const names = /SignedHeaders=([^,]+)/.exec(sent)?.[1].split(';') ?? [];
  if (!names.includes('host') || !names.includes('x-amz-content-sha256')) return 'AccessDenied';
  if (request.headers['x-amz-content-sha256'] !== sha256(body)) return 'XAmzContentSHA256Mismatch';
  const headers = Object.fromEntries(names.map((name) => [name, request.headers[name]]));
  const { method, url: path } = request;
  const whole = { service: 's3', region: given.region, method, path, headers, doNotModifyHeaders: true };
  const wanted = new aws4.RequestSigner(whole, credentials).sign().headers.Authorization;
  const same = wanted.length === sent.length && timingSafeEqual(Buffer.from(wanted), Buffer.from(sent));
  return same ? undefined : 'SignatureDoesNotMatch';
};

const answered = (request, body) => {
  const code = problem(request, body);
  if (code) return [403, `<Error><Code>${code}</Code></Error>`];
  if (request.method === 'PUT') {
    if (given.conditions === 'refused' && request.headers['if-none-match'])
      return [501, '<Error><Code>NotImplemented</Code></Error>'];
    objects.set(request.url, body);
    return [200, ''];
  }
  const kept = objects.get(request.url);
  return kept === undefined ? [404, '<Error><Code>NoSuchKey</Code></Error>'] : [200, kept];
};

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const [status, body] = answered(request, Buffer.concat(parts));
    response.writeHead(status).end(body);
  });
});
server.listen(0, '127.0.0.1', () =>
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })),
);
