import { sessionOver } from '../../aggregates/sessions/decider.ts';
import type { Identity } from '../identity.ts';
import type { LiveSessions } from '../live-sessions.ts';
import type { OutsideTokens } from './outside-tokens.ts';
import type { OutsideUsers } from './outside-users.ts';

type Authentication = Pick<Identity, 'authenticate' | 'isGenuine'>;

type Deps = Readonly<{ own: Authentication; tokens: OutsideTokens; users: OutsideUsers; liveSessions: LiveSessions }>;

/** Adds the tokens of outside issuers to the authentication of our own. A person who is not known yet gets an account. */
export function withOutsideIssuers({ own, tokens, users, liveSessions }: Deps): Authentication {
  return {
    async authenticate(accessToken, purpose) {
      if (own.isGenuine(accessToken) || !tokens.concerns(accessToken)) return own.authenticate(accessToken, purpose);
      const { person, signedInAt, expiresAt } = await tokens.verify(accessToken);
      const userId = users.idOf(person);
      let live = await liveSessions.find(userId, null, purpose);
      if (live === null) {
        await users.open(person);
        // A load in progress may have begun before.
        liveSessions.forget(userId);
        live = await liveSessions.find(userId, null, purpose);
      }
      if (live === null) throw sessionOver();
      return { userId, sessionId: null, roles: live.roles, signedInAt, expiresAt };
    },

    isGenuine: (accessToken) => own.isGenuine(accessToken) || tokens.isGenuine(accessToken),
  };
}
