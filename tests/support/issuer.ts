import { createServer, type Server } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';

/** An issuer over HTTP whose every answer can be wrong on purpose. Real providers are in `providers.ts`. */
export class TestIssuer {
  readonly #server: Server;
  readonly url: string;
  /** Paths that were read, in order. */
  readonly reads: string[] = [];
  jwks: JSONWebKeySet = { keys: [] };
  /** Replaces the answer to a path: a status, or the text of a 200. */
  readonly answers = new Map<string, number | string>();
  #kid = 0;
  #key: Readonly<{ kid: string; privateKey: CryptoKey }> | null = null;
  isAway = false;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async start(): Promise<TestIssuer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the issuer has no port');
    const issuer = new TestIssuer(server, `http://127.0.0.1:${address.port}/realms/main`);
    server.on('request', (request, response) => {
      const path = (request.url ?? '').slice('/realms/main'.length);
      issuer.reads.push(path);
      if (issuer.isAway) return request.socket.destroy();
      const answer = issuer.answers.get(path) ?? issuer.#answerOf(path);
      if (typeof answer === 'number') return response.writeHead(answer, { location: '/elsewhere' }).end();
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' }).end(answer);
    });
    await issuer.addKey();
    return issuer;
  }

  /** Publishes another key, which signs from now on. */
  async addKey({ publish = true, modulusLength = 2_048 } = {}): Promise<string> {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true, modulusLength });
    const kid = `key ${++this.#kid}`;
    if (publish) this.jwks = { keys: [...this.jwks.keys, { ...(await exportJWK(publicKey)), kid, use: 'sig' }] };
    this.#key = { kid, privateKey };
    return kid;
  }

  /** Signs a token of Ada for `parley`, valid for an hour from `now` (ms), with these claims and header fields; `undefined` leaves one out. */
  async token(
    now: number,
    claims: Readonly<Record<string, unknown>> = {},
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    if (this.#key === null) throw new Error('there is no key');
    const iat = Math.floor(now / 1_000);
    const all = { iss: this.url, sub: 'ada', aud: 'parley', azp: 'web', iat, exp: iat + 3_600, ...claims };
    return await new SignJWT(JSON.parse(JSON.stringify(all)))
      .setProtectedHeader(JSON.parse(JSON.stringify({ alg: 'RS256', kid: this.#key.kid, typ: 'JWT', ...header })))
      .sign(this.#key.privateKey);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answerOf(path: string): number | string {
    if (path === '/.well-known/openid-configuration') {
      return JSON.stringify({ issuer: this.url, jwks_uri: `${this.url}/keys` });
    }
    return path === '/keys' ? JSON.stringify(this.jwks) : 404;
  }
}
