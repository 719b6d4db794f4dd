import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { REREAD_MS } from '../../src/identity/issuers/key-set.ts';
import { expectProblem, group, type Person, read, type Server, signUp, startServer } from '../support/http.ts';
import { open } from '../support/live.ts';
import { createKeycloakRealm, startOidcProvider, type TestProvider } from '../support/providers.ts';
import { service } from '../support/services.ts';
import { system } from '../support/stores.ts';

const keycloakUrl = process.env.KEYCLOAK_URL;

issuerTests('oidc-provider', service('oidc-provider'), startOidcProvider);
issuerTests('Keycloak', service('Keycloak', keycloakUrl ? null : 'KEYCLOAK_URL is not set'), () =>
  createKeycloakRealm(keycloakUrl ?? '', `parley-${system.random.objectId()}`),
);

function issuerTests(name: string, isAvailable: boolean, start: () => Promise<TestProvider>): void {
  describe.skipIf(!isAvailable)(`an outside issuer: ${name}`, () => {
    let provider: TestProvider;
    let server: Server;
    let ada: Person;
    /** What the node's monotonic clock is ahead of the system's, in ms. */
    let ahead = 0;

    beforeAll(async () => {
      provider = await start();
      const clock = createSystemClock();
      server = await startServer({
        clock: { ...clock, monotonic: () => clock.monotonic() + ahead },
        issuers: { discovered: [{ issuer: provider.issuer, alg: 'RS256' }], audience: 'parley' },
      });
      ada = await person();
    });
    afterAll(async () => {
      await server.close();
      await provider.close();
    });

    /** The person of the provider, whose id is that of their account. */
    async function person(token?: string): Promise<Person> {
      const accessToken = token ?? (await provider.accessToken('parley'));
      const { email, username } = provider.person;
      const someone = { userId: '', email, username, accessToken, refreshToken: '' };
      const me = await server.ask(someone, { method: 'GET', url: '/api/v1/users/me' });
      expect(me.status).toBe(200);
      return { ...someone, userId: me.json._id };
    }

    const provisioned = async () => {
      const filter = { types: ['UserProvisioned'] };
      return (await server.log.readAll({ direction: 'forwards', from: null, limit: 100, filter })).events;
    };

    it('the first token opens an account with the names and the verified address of the person', async () => {
      const { username, email, firstname, lastname } = provider.person;
      const me = await server.ask(ada, { method: 'GET', url: '/api/v1/users/me' });
      const displayName = `${firstname} ${lastname}`;
      expect(me.json).toMatchObject({ _id: ada.userId, username, email, firstname, lastname, displayName, roles: [] });
      expect(await provisioned()).toMatchObject([
        { data: { userId: ada.userId, issuer: provider.issuer, username }, metadata: { actor: ada.userId } },
      ]);
      const bob = await signUp(server, `bob-of-${name.toLowerCase()}`);
      const found = await read(server, bob, `/api/v1/users/${ada.userId}`);
      expect(found.json).toMatchObject({ username, displayName });
      expect(found.text).not.toContain(email);
    });

    it('later tokens are of the same account, also when many arrive at once', async () => {
      const people = await Promise.all(Array.from({ length: 5 }, async () => person()));
      expect(new Set(people.map(({ userId }) => userId))).toEqual(new Set([ada.userId]));
      expect(await provisioned()).toHaveLength(1);
    });

    it('the person takes part in conversations like others, over REST and WebSocket', async () => {
      const bob = await signUp(server, `bob2-of-${name.toLowerCase()}`);
      const team = await group(server, ada, bob);
      const url = `/api/v1/conversations/${team}/messages`;
      expect((await server.ask(ada, { method: 'POST', url, payload: { content: 'hello' } })).status).toBe(202);
      expect((await read(server, bob, url)).json.items).toMatchObject([{ senderId: ada.userId, content: 'hello' }]);
      const live = await open(server);
      expect(await live.request({ type: 'auth', token: ada.accessToken })).toMatchObject({ ok: true });
      await server.ask(bob, { method: 'POST', url, payload: { content: 'and hello to you' } });
      expect(await live.message('and hello to you')).toMatchObject({ payload: { message: { senderId: bob.userId } } });
      await live.close();
    });

    it('a token for another audience, an ID token and a changed token are refused', async () => {
      const changed = `${ada.accessToken.slice(0, -6)}AAAAAA`;
      for (const accessToken of [await provider.accessToken('other'), await provider.idToken(), changed]) {
        const answer = await server.ask({ ...ada, accessToken }, { method: 'GET', url: '/api/v1/users/me' });
        expectProblem(answer, 401, 'unauthenticated');
      }
      expect(await provisioned()).toHaveLength(1);
    });

    it('has no session here that could end', async () => {
      const before = await server.log.head();
      expectProblem(await server.ask(ada, { method: 'DELETE', url: '/api/v1/sessions/current' }), 404, 'not-found');
      expect(await server.log.head()).toBe(before);
    });

    it('a new key of the issuer is found, and earlier tokens remain valid', async () => {
      await provider.rotate();
      const token = await provider.accessToken('parley');
      ahead += REREAD_MS;
      expect((await person(token)).userId).toBe(ada.userId);
      expect((await person(ada.accessToken)).userId).toBe(ada.userId);
    });

    it('its key can be pinned, and the account is the same', async () => {
      const der = Buffer.from(await provider.publicKey(), 'base64');
      const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
      const pinned = { key, alg: 'RS256', issuer: provider.issuer } as const;
      const other = await startServer({ issuers: { pinned, audience: 'parley' } });
      const accessToken = await provider.accessToken('parley');
      const me = await other.ask({ ...ada, accessToken }, { method: 'GET', url: '/api/v1/users/me' });
      expect(me.json).toMatchObject({ _id: ada.userId, email: provider.person.email });
      await other.close();
    });
  });
}
