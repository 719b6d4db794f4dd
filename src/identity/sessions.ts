import { address } from '../aggregates/reservation/decider.ts';
import { liveSession, type SessionsState, sessionOver, sessions } from '../aggregates/sessions/decider.ts';
import type { SessionsEvent } from '../aggregates/sessions/events.ts';
import { type ActiveAccount, activeAccountOf, user } from '../aggregates/user/decider.ts';
import type { Books, ToSummarise } from '../commands/books.ts';
import type { CommandHandler, Handled } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext } from '../commands/request-context.ts';
import type { SessionsCommand } from '../commands/sessions.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Position } from '../kernel/position.ts';
import { ACCESS_TOKEN_S, type AccessTokens } from './access-tokens.ts';
import { laterThan, positionOf } from './context.ts';
import type { Credentials, Identity, SignedIn } from './identity.ts';
import type { LiveSessions } from './live-sessions.ts';
import type { NameIds } from './names.ts';
import type { PasswordHasher } from './password-hasher.ts';
import { ownProfile } from './profile.ts';
import type { RefreshTokenSubject, RefreshTokens } from './refresh-tokens.ts';
import type { SignInThrottle } from './sign-in-throttle.ts';

/** Lifetime of a session, in ms. Refreshing does not extend it. */
export const SESSION_MS = 30 * 24 * 60 * 60_000;

/** One text for everything that can be wrong with a sign-in, so that it does not disclose whether the account exists. */
const SIGN_IN_FAILED =
  'sign-in failed: check the e-mail address and the password, and wait a moment after several attempts';

type Deps = Readonly<{
  commands: CommandHandler;
  books: Books;
  names: NameIds;
  hasher: PasswordHasher;
  accessTokens: Pick<AccessTokens, 'sign' | 'verify' | 'isGenuine'>;
  refreshTokens: RefreshTokens;
  liveSessions: LiveSessions;
  /** `null`: no delays after failures. */
  throttle: SignInThrottle | null;
}>;

/** Sign-in, refresh, sign-out, authentication of access tokens, and the profile of who is signed in. */
export function createSessions(
  deps: Deps,
): Pick<Identity, 'signIn' | 'refresh' | 'profile' | 'signOut' | 'authenticate' | 'isGenuine'> {
  const { commands, books, accessTokens, refreshTokens, liveSessions, throttle } = deps;

  async function tokens(account: ActiveAccount, subject: RefreshTokenSubject, position: Position): Promise<SignedIn> {
    return {
      accessToken: await accessTokens.sign(subject.userId, subject.sessionId),
      refreshToken: refreshTokens.token(subject),
      tokenType: 'Bearer',
      expiresIn: ACCESS_TOKEN_S,
      user: ownProfile(account),
      position,
    };
  }

  async function start(account: ActiveAccount, userAgent: string | null, context: RequestContext): Promise<SignedIn> {
    const { userId } = account;
    const sessionId = context.ids.uuid('session', Date.parse(context.metadata.at));
    const data = { userId, sessionId, userAgent, expiresAt: laterThan(context, SESSION_MS) };
    // The node that set the password may have a clock ahead of this one's; a session that started before the password was set would be void.
    const at = context.metadata.at < account.passwordSetAt ? account.passwordSetAt : context.metadata.at;
    const metadata = { ...context.metadata, actor: userId, at };
    const command = { type: 'StartSession' as const, data, metadata };
    const handled = await commands.handle(sessions, userId, command, mainOptions(context));
    considerBooks(userId, handled, context);
    liveSessions.forget(userId);
    return tokens(account, { userId, sessionId, counter: 0 }, positionOf(handled));
  }

  function considerBooks(userId: string, handled: Handled, { metadata }: RequestContext): void {
    books.consider(handled, { aggregate: sessions, id: userId, metadata, summarise: (from) => summary(userId, from) });
  }

  /** The counter of the current token after a refresh; `null` when the session has ended. */
  async function counterAfter(handled: Handled, subject: RefreshTokenSubject, context: RequestContext) {
    const { userId, sessionId } = subject;
    const [event] = handled.events as readonly SessionsEvent[];
    if (event !== undefined) return event.type === 'SessionRefreshed' ? event.data.counter : null;
    // The token before the current one was presented.
    const { state } = await commands.load(sessions, userId, 'cached');
    return liveSession(state, sessionId, context.metadata.at)?.counter ?? null;
  }

  return {
    async signIn(credentials, context) {
      const attempt = await throttle?.begin(credentials.email, credentials.address);
      if (typeof attempt === 'number') {
        throw new Refusal('too-many-requests', SIGN_IN_FAILED, { retryAfterMs: attempt });
      }
      let account: ActiveAccount | null;
      try {
        account = await verified(deps, credentials);
      } catch (error) {
        if (attempt !== undefined) await throttle?.forgive(attempt);
        throw error;
      }
      if (account === null) throw new Refusal('unauthenticated', SIGN_IN_FAILED);
      if (attempt !== undefined) await throttle?.succeeded(attempt);
      return start(account, credentials.userAgent, context);
    },

    async refresh(refreshToken, context) {
      const subject = refreshTokens.read(refreshToken);
      if (subject === null) throw sessionOver();
      const { userId, sessionId } = subject;
      const [{ state: userState }, { state }] = await Promise.all([
        commands.load(user, userId, 'fresh'),
        commands.load(sessions, userId, 'fresh'),
      ]);
      const account = activeAccountOf(userState);
      const session = liveSession(state, sessionId, context.metadata.at);
      if (account === null || session === undefined || session.startedAt < account.passwordSetAt) {
        throw sessionOver();
      }
      const metadata = { ...context.metadata, actor: userId };
      const command = { type: 'RefreshSession' as const, data: subject, metadata };
      const handled = await commands.handle(sessions, userId, command, mainOptions(context));
      considerBooks(userId, handled, context);
      const counter = await counterAfter(handled, subject, context);
      if (counter === null) {
        liveSessions.forget(userId);
        throw sessionOver();
      }
      return tokens(account, { userId, sessionId, counter }, positionOf(handled));
    },

    async profile(userId) {
      const { state, revision } = await commands.load(user, userId, 'fresh');
      const account = activeAccountOf(state);
      if (account === null || revision === null) throw sessionOver();
      return { profile: ownProfile(account), revision: Number(revision) };
    },

    async signOut({ userId, sessionId }, context) {
      const { metadata, earlier } = context;
      if (earlier !== undefined) return { userId, position: positionOf(earlier) };
      if (sessionId === null) {
        throw new Refusal('not-found', 'the access token is of an outside issuer: sign out there');
      }
      const command = { type: 'EndSession' as const, data: { userId, sessionId }, metadata };
      const handled = await commands.handle(sessions, userId, command, mainOptions(context));
      liveSessions.forget(userId);
      return { userId, position: positionOf(handled) };
    },

    async authenticate(accessToken, purpose) {
      const { userId, sessionId, expiresAt } = await accessTokens.verify(accessToken);
      const live = await liveSessions.find(userId, sessionId, purpose);
      if (live === null) throw sessionOver();
      return { userId, sessionId, roles: live.roles, signedInAt: live.startedAt, expiresAt };
    },

    isGenuine: (accessToken) => accessTokens.isGenuine(accessToken),
  };
}

/** The summary of a user's sessions. The state does not hold the user agents, which are personal: they come from the events that it was folded from. */
async function summary(userId: string, { events, metadata }: ToSummarise<SessionsState>): Promise<SessionsCommand> {
  const userAgents: { sessionId: string; userAgent: string | null }[] = [];
  // The stream has events of sessions only.
  for (const { type, data } of (await events()) as unknown as readonly SessionsEvent[]) {
    if (type === 'SessionStarted') userAgents.push({ sessionId: data.sessionId, userAgent: data.userAgent });
    if (type !== 'SessionsSummarised') continue;
    for (const [i, { sessionId }] of data.sessions.entries()) {
      userAgents.push({ sessionId, userAgent: data.userAgents?.[i] ?? null });
    }
  }
  return { type: 'SummariseSessions', data: { userId, userAgents }, metadata };
}

/** The active account with this address and password, otherwise `null`. Costs the same in both cases. */
async function verified(deps: Deps, { email, password }: Credentials): Promise<ActiveAccount | null> {
  const { commands, names, hasher } = deps;
  const addressId = names.address(email);
  const { state: reservation } = await commands.load(address, addressId, 'fresh');
  const userId = reservation.status === 'free' ? addressId.slice(0, 24) : reservation.holder;
  const account = activeAccountOf((await commands.load(user, userId, 'fresh')).state);
  const matches = await hasher.verify(account?.passwordHash ?? null, password);
  return matches ? account : null;
}
