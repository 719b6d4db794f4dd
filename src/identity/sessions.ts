import { address } from '../aggregates/reservation/decider.ts';
import { liveSession, sessions } from '../aggregates/sessions/decider.ts';
import type { SessionsEvent } from '../aggregates/sessions/events.ts';
import { type UserState, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { RequestContext } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import { ACCESS_TOKEN_S, type AccessTokens } from './access-tokens.ts';
import { laterThan, mainOptions, positionOf } from './context.ts';
import type { Credentials, Identity, SignedIn } from './identity.ts';
import type { LiveSessions } from './live-sessions.ts';
import type { NameIds } from './names.ts';
import type { PasswordHasher } from './password-hasher.ts';
import type { RefreshClaim, RefreshTokens } from './refresh-tokens.ts';
import type { SignInThrottle } from './sign-in-throttle.ts';
import { displayNameOf, type OwnUser } from './user-shape.ts';

/** No session lives longer, however often it is refreshed, in ms. */
export const SESSION_MS = 30 * 24 * 60 * 60_000;

/** One wording for all that can be wrong with a sign-in: which of it, is nobody's business. */
const SIGN_IN_FAILED = 'signing in did not work: check address and password, and after several tries wait a little';

type Deps = Readonly<{
  commands: CommandHandler;
  names: NameIds;
  hasher: PasswordHasher;
  accessTokens: AccessTokens;
  refreshTokens: RefreshTokens;
  liveSessions: LiveSessions;
  /** `null`: failures are not slowed down. */
  throttle: SignInThrottle | null;
}>;

type ActiveUser = Extract<UserState, { status: 'active' }>;

/** Signing in, staying signed in, signing out, and knowing who asks. */
export function createSessions(deps: Deps): Pick<Identity, 'signIn' | 'refresh' | 'signOut' | 'authenticate'> {
  const { commands, accessTokens, refreshTokens, liveSessions, throttle } = deps;

  async function tokens(account: ActiveUser, claim: RefreshClaim): Promise<SignedIn> {
    return {
      accessToken: await accessTokens.sign(claim.userId, claim.sessionId),
      refreshToken: refreshTokens.token(claim),
      tokenType: 'Bearer',
      expiresIn: ACCESS_TOKEN_S,
      user: ownUser(account),
    };
  }

  async function start(account: ActiveUser, userAgent: string | null, context: RequestContext): Promise<SignedIn> {
    const { userId } = account;
    const sessionId = context.ids.uuid('session', Date.parse(context.metadata.at));
    const data = { userId, sessionId, userAgent, expiresAt: laterThan(context, SESSION_MS) };
    // The clock of the node that took the password may be ahead of this one's; a session from before it would be void.
    const at = context.metadata.at < account.passwordSetAt ? account.passwordSetAt : context.metadata.at;
    const metadata = { ...context.metadata, actor: userId, at };
    await commands.handle(sessions, userId, { type: 'StartSession', data, metadata }, mainOptions(context));
    liveSessions.forget(userId);
    return tokens(account, { userId, sessionId, counter: 0 });
  }

  return {
    async signIn(credentials, context) {
      const attempt = throttle?.begin(credentials.email, credentials.address);
      if (typeof attempt === 'number') {
        throw new Refusal('too-many-requests', SIGN_IN_FAILED, { retryAfterMs: attempt });
      }
      let account: ActiveUser | null;
      try {
        account = await verified(deps, credentials);
      } catch (error) {
        if (attempt !== undefined) throttle?.forgive(attempt);
        throw error;
      }
      if (account === null) throw new Refusal('unauthenticated', SIGN_IN_FAILED);
      if (attempt !== undefined) throttle?.succeeded(attempt);
      return start(account, credentials.userAgent, context);
    },

    async refresh(refreshToken, context) {
      const claim = refreshTokens.read(refreshToken);
      if (claim === null) throw sessionOver();
      const { userId, sessionId } = claim;
      const [{ state: account }, { state }] = await Promise.all([
        commands.look(user, userId, 'fresh'),
        commands.look(sessions, userId, 'fresh'),
      ]);
      const session = liveSession(state, sessionId, context.metadata.at);
      if (account.status !== 'active' || session === undefined || session.startedAt < account.passwordSetAt) {
        throw sessionOver();
      }
      const metadata = { ...context.metadata, actor: userId };
      const command = { type: 'RefreshSession' as const, data: claim, metadata };
      const { events } = await commands.handle(sessions, userId, command, mainOptions(context));
      const counter = currentCounter(events as readonly SessionsEvent[]);
      if (counter === null) {
        liveSessions.forget(userId);
        throw sessionOver();
      }
      return tokens(account, { userId, sessionId, counter });
    },

    async signOut({ userId, sessionId }, context) {
      const { metadata } = context;
      const command = { type: 'EndSession' as const, data: { userId, sessionId }, metadata };
      const handled = await commands.handle(sessions, userId, command, mainOptions(context));
      liveSessions.forget(userId);
      return { userId, position: positionOf(handled) };
    },

    async authenticate(accessToken, purpose) {
      const { userId, sessionId, expiresAt } = await accessTokens.verify(accessToken);
      if (!(await liveSessions.isLive(userId, sessionId, purpose))) throw sessionOver();
      return { userId, sessionId, expiresAt };
    },
  };
}

/** The active account whose password this is, else `null`. It costs the same whether there is such an account or not. */
async function verified(deps: Deps, { email, password }: Credentials): Promise<ActiveUser | null> {
  const { commands, names, hasher } = deps;
  const addressId = names.address(email);
  const { state: reservation } = await commands.look(address, addressId, 'fresh');
  const userId = reservation.status === 'free' ? addressId.slice(0, 24) : reservation.holder;
  const { state: account } = await commands.look(user, userId, 'fresh');
  const active = account.status === 'active' ? account : null;
  const fits = await hasher.verify(active?.passwordHash ?? null, password);
  return fits ? active : null;
}

/** The counter of the token that is current after a refresh; `null` when the refresh ended the session. */
function currentCounter(events: readonly SessionsEvent[]): number | null {
  for (const event of events) {
    if (event.type === 'SessionRefreshed' || event.type === 'SessionRefreshForgiven') return event.data.counter;
  }
  return null;
}

function ownUser({ userId, email, username, firstname, lastname, registeredAt }: ActiveUser): OwnUser {
  const displayName = displayNameOf({ username, firstname, lastname });
  const shown = { _id: userId, username, firstname, lastname, displayName, online: null, lastSeenAt: null };
  return { ...shown, email, roles: [], createdAt: registeredAt };
}

function sessionOver(): Refusal {
  return new Refusal('unauthenticated', 'this session is over; sign in again');
}
