import { createPublicKey } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

/** A real OpenID provider over HTTP, with one person. */
export type TestProvider = Readonly<{
  issuer: string;
  /** What it says of the person. */
  person: Readonly<{ username: string; email: string; firstname: string; lastname: string }>;
  /** An access token of the person for an audience. */
  accessToken(audience: string): Promise<string>;
  /** A token of the person that is not an access token. */
  idToken(): Promise<string>;
  /** Has another key sign from now on; earlier tokens remain valid. */
  rotate(): Promise<void>;
  /** The key that signs, as bare base64 of its SPKI. */
  publicKey(): Promise<string>;
  close(): Promise<void>;
}>;

const person = { username: 'ada.at.work', email: 'ada@example.org', firstname: 'Ada', lastname: 'Lovelace' };

/** The certified implementation of the npm package `oidc-provider`. */
export async function startOidcProvider(): Promise<TestProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the provider has no port');
  const issuer = `http://127.0.0.1:${address.port}`;
  const keys = [await generatedKey('first')];

  const build = (): Provider =>
    new Provider(issuer, {
      jwks: { keys },
      clients: [{ client_id: 'web', redirect_uris: ['http://127.0.0.1/back'], token_endpoint_auth_method: 'none' }],
      cookies: { keys: ['a key of cookies'] },
      scopes: ['openid', 'profile', 'email'],
      claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email', 'email_verified'] },
      ttl: { AccessToken: 3_600, Grant: 3_600, IdToken: 3_600 },
      conformIdTokenClaims: false,
      features: {
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context, resource) => ({
            scope: 'openid',
            audience: resource.slice('urn:audience:'.length),
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'RS256' } },
          }),
        },
      },
      findAccount: (_context, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
      extraTokenClaims: () => ({
        preferred_username: person.username,
        email: person.email,
        email_verified: true,
        given_name: person.firstname,
        family_name: person.lastname,
      }),
    });
  let provider = build();
  let handle = provider.callback();
  server.on('request', (request, response) => void handle(request, response));

  async function grant() {
    const client = await provider.Client.find('web');
    if (client === undefined) throw new Error('there is no client');
    const granted = new provider.Grant({ accountId: 'subject-1', clientId: 'web' });
    return { client, grantId: await granted.save() };
  }

  return {
    issuer,
    person,
    async accessToken(audience) {
      const { client, grantId } = await grant();
      const token = new provider.AccessToken({
        client,
        accountId: 'subject-1',
        grantId,
        gty: 'authorization_code',
        scope: 'openid',
      });
      token.resourceServer = new provider.ResourceServer(`urn:audience:${audience}`, {
        scope: 'openid',
        audience,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      });
      return await token.save();
    },
    async idToken() {
      const { client } = await grant();
      const token = new provider.IdToken({ sub: 'subject-1', nonce: 'n' }, { client });
      return await token.issue({ use: 'idtoken' });
    },
    async rotate() {
      keys.unshift(await generatedKey('second'));
      provider = build();
      handle = provider.callback();
    },
    async publicKey() {
      const [{ n = '', e = '' } = {}] = keys;
      const key = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
      return key.export({ format: 'der', type: 'spki' }).toString('base64');
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function generatedKey(kid: string) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'RS256' };
}

const PASSWORD = 'correct horse battery';

/** A realm of its own on a running Keycloak, which is removed at the end. `url`: its root; its administrator is `admin` with the password `admin`. */
export async function createKeycloakRealm(url: string, realm: string): Promise<TestProvider> {
  const admin = `${url}/admin/realms`;
  const issuer = `${url}/realms/${realm}`;

  async function call(method: string, address: string, body?: object): Promise<Response> {
    const form = { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: 'admin' };
    const { access_token } = await granted(`${url}/realms/master`, form);
    const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' };
    const response = await fetch(address, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    if (!response.ok) throw new Error(`${method} ${address}: ${response.status} ${await response.text()}`);
    return response;
  }

  async function signIn(audience: string) {
    const form = { grant_type: 'password', client_id: audience, username: person.username, password: PASSWORD };
    return granted(issuer, { ...form, scope: 'openid' });
  }

  const client = (clientId: string, audience: string) => ({
    clientId,
    publicClient: true,
    directAccessGrantsEnabled: true,
    protocolMappers: [
      {
        name: 'audience',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: { 'included.custom.audience': audience, 'access.token.claim': 'true' },
      },
    ],
  });
  const { username, email, firstname: firstName, lastname: lastName } = person;
  const credentials = [{ type: 'password', value: PASSWORD, temporary: false }];
  await call('POST', admin, {
    realm,
    enabled: true,
    sslRequired: 'none',
    clients: [client('parley', 'parley'), client('other', 'other')],
    users: [{ username, email, firstName, lastName, emailVerified: true, enabled: true, credentials }],
  });

  return {
    issuer,
    person,
    accessToken: async (audience) => (await signIn(audience)).access_token,
    idToken: async () => (await signIn('parley')).id_token,
    async rotate() {
      const { id } = (await (await call('GET', `${admin}/${realm}`)).json()) as { id: string };
      await call('POST', `${admin}/${realm}/components`, {
        name: 'next',
        parentId: id,
        providerId: 'rsa-generated',
        providerType: 'org.keycloak.keys.KeyProvider',
        config: { priority: ['200'], enabled: ['true'], active: ['true'], algorithm: ['RS256'], keySize: ['2048'] },
      });
    },
    async publicKey() {
      const answer = await (await call('GET', `${admin}/${realm}/keys`)).json();
      const { active, keys } = answer as {
        active: Record<string, string>;
        keys: readonly { kid: string; publicKey: string }[];
      };
      return keys.find(({ kid }) => kid === active.RS256)?.publicKey ?? '';
    },
    async close() {
      await call('DELETE', `${admin}/${realm}`);
    },
  };
}

async function granted(issuer: string, form: Record<string, string>) {
  const body = new URLSearchParams(form);
  const response = await fetch(`${issuer}/protocol/openid-connect/token`, { method: 'POST', body });
  if (!response.ok) throw new Error(`${issuer}: ${response.status} ${await response.text()}`);
  return (await response.json()) as { access_token: string; id_token: string };
}
