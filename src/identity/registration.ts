import { address, username } from '../aggregates/reservation/decider.ts';
import { user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { RequestContext } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import { laterPosition, type Position } from '../kernel/position.ts';
import { laterThan, mainOptions, positionOf, stepOf } from './context.ts';
import type { Accepted, Registration } from './identity.ts';
import type { MailAllowance } from './mail-allowance.ts';
import type { NameIds } from './names.ts';

/** How long a link to set the first password is good, and the names of the account are held for it, in ms. */
export const WELCOME_MS = 24 * 60 * 60_000;

type Deps = Readonly<{ commands: CommandHandler; names: NameIds; allowance: MailAllowance }>;

/** One registration: what was asked, and the ids and times made for it. */
type Plan = Readonly<{
  input: Registration;
  context: RequestContext;
  userId: string;
  usernameId: string;
  addressId: string;
  linkId: string;
  until: string;
}>;

/**
 * Registration, in this order:
 * 1. The username is reserved for 24 h, whatever comes of the rest, so that trying the same one again tells nothing about the address.
 * 2. The address is reserved for as long. If that works, the account is written, and a reaction mails its link.
 * 3. If another holds the address, the answer is the same, with an id that will never be anybody's; the holder's account is told instead: a new
 *    link while it is pending, a warning when it is active. As many events are appended, in as many rounds, as for a new account, so that
 *    neither the time nor the positions tell the two apart.
 * 4. If the holder has no account, another registration of this address was cut off before it wrote it, or is about to. Nobody can tell which, so
 *    this one finishes it: the account is written under the holder's id, and whoever comes second finds it written. Either way the owner of the address
 *    gets one link.
 */
export function createRegistration(deps: Deps): (input: Registration, context: RequestContext) => Promise<Accepted> {
  const { commands, names } = deps;
  return async (input, context) => {
    const userId = context.ids.objectId('user');
    const plan: Plan = {
      input,
      context,
      userId,
      usernameId: names.username(input.username),
      addressId: names.address(input.email),
      linkId: context.ids.uuid('link', Date.parse(context.metadata.at)),
      until: laterThan(context, WELCOME_MS),
    };
    if (!(await reserve(commands, plan, 'username', { id: plan.usernameId, holder: userId }))) throw usernameTaken();
    const isFree = await reserve(commands, plan, 'address', { id: plan.addressId, holder: userId });
    return { userId, position: isFree ? await openAccount(deps, plan, userId) : await addressInUse(deps, plan) };
  };
}

async function openAccount({ commands, allowance }: Deps, plan: Plan, userId: string): Promise<Position> {
  const { input, context, linkId, until } = plan;
  const { email, username, firstname, lastname } = input;
  allowance.take(plan.addressId);
  const data = { userId, email: email.trim(), username, firstname, lastname, linkId, linkExpiresAt: until };
  const { metadata } = context;
  return positionOf(
    await commands.handle(user, userId, { type: 'RegisterUser', data, metadata }, mainOptions(context)),
  );
}

async function addressInUse(deps: Deps, plan: Plan): Promise<Position> {
  const { commands, names, allowance } = deps;
  const { addressId, usernameId, userId } = plan;
  const { state: reservation } = await commands.look(address, addressId, 'fresh');
  if (reservation.status === 'free') {
    throw new Refusal('unavailable', 'this address is changing hands; try again', { retryAfterMs: 1_000 });
  }
  const { holder } = reservation;
  const { state: account } = await commands.look(user, holder, 'fresh');

  if (account.status === 'none') {
    await release(commands, plan, 'username', { id: usernameId, holder: userId });
    if (!(await reserve(commands, plan, 'username', { id: usernameId, holder }))) throw usernameTaken();
    return openAccount(deps, plan, holder);
  }
  if (!allowance.take(addressId)) return decoy(commands, plan, null);
  if (account.status === 'active') return decoy(commands, plan, holder);

  // The names of a pending account are held for as long as its new link is good. The username first: an account that lost it can never be
  // activated, so its address has to run out.
  const own = { id: names.username(account.username), holder };
  if (!(await reserve(commands, plan, 'username', own))) return decoy(commands, plan, null);
  const [, position] = await Promise.all([
    reserve(commands, plan, 'address', { id: addressId, holder }),
    tellHolder(commands, plan, holder),
  ]);
  return position;
}

/** Tells the holder, if anybody is to be told, among as much work as a new account makes: reserves and releases a name that nobody can ask for. */
async function decoy(commands: CommandHandler, plan: Plan, holder: string | null): Promise<Position> {
  const name = { id: `decoy-${plan.userId}`, holder: plan.userId };
  await reserve(commands, plan, 'address', name);
  const [released, told] = await Promise.all([
    release(commands, plan, 'address', name),
    holder === null ? null : tellHolder(commands, plan, holder),
  ]);
  return laterPosition(released, told) ?? released;
}

async function tellHolder(
  commands: CommandHandler,
  { context, linkId, until }: Plan,
  holder: string,
): Promise<Position> {
  const data = { userId: holder, linkId, linkExpiresAt: until };
  // The holder's stream is short, so that a retry may search all of it.
  const options = context.handledSince === undefined ? {} : { handledSince: -1n };
  const { metadata } = context;
  return positionOf(await commands.handle(user, holder, { type: 'RepeatRegistration', data, metadata }, options));
}

type Kind = 'username' | 'address';
type Name = Readonly<{ id: string; holder: string }>;

/** Whether the name is the holder's now, for as long as the registration's link is good. */
async function reserve(commands: CommandHandler, plan: Plan, kind: Kind, { id, holder }: Name): Promise<boolean> {
  const metadata = stepOf(plan.context, `reserve ${kind} ${id} ${holder}`);
  const data = { kind, holder, until: plan.until };
  try {
    await commands.handle(reservations[kind], id, { type: 'ReserveName', data, metadata });
    return true;
  } catch (error) {
    if (error instanceof Refusal && error.code === 'already-exists') return false;
    throw error;
  }
}

async function release(commands: CommandHandler, plan: Plan, kind: Kind, { id, holder }: Name): Promise<Position> {
  const metadata = stepOf(plan.context, `release ${kind} ${id} ${holder}`);
  return positionOf(
    await commands.handle(reservations[kind], id, { type: 'ReleaseName', data: { kind, holder }, metadata }),
  );
}

const reservations = { username, address };

function usernameTaken(): Refusal {
  const errors = [{ path: '/username', message: 'is taken' }];
  return new Refusal('username-taken', 'this username is taken; choose another', { errors });
}
