import { randomUUID } from 'node:crypto';
import { createSystemClock } from './adapters/system/system-clock.ts';
import { createClaims } from './commands/claims.ts';
import { createCommandHandler } from './commands/handle-command.ts';
import { openStores, type Stores } from './compose-stores.ts';
import { type Config, publicUrlOf } from './config.ts';
import { createConversations } from './conversations/conversations.ts';
import { buildApp } from './http/app.ts';
import type { Part } from './http/deps.ts';
import { createIdentity } from './identity/create-identity.ts';
import { deriveSecrets } from './identity/secrets.ts';
import { StoreError } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { projections as catalogue } from './projections/catalogue.ts';
import { createProjections, type Projections } from './projections/create-projections.ts';
import { createLease } from './projections/lease.ts';
import { createRoomsView } from './projections/views/rooms.ts';
import { Hub } from './push/hub.ts';
import { createAccountMails } from './reactions/account-mails.ts';
import { createReactionRunner } from './reactions/reaction-runner.ts';
import { VERSION } from './version.ts';

/** A node that runs. */
export type Parley = Readonly<{
  /** Where it listens. */
  url: string;
  projections: Projections;
  /** Takes no new work, finishes what it has, and frees everything. May be called twice. */
  close(): Promise<void>;
}>;

/** Which log these documents were made from: positions of another one mean nothing to them. */
const LOG = { collection: 'log', id: 'log' } as const;

/** Starts a node: stores first, what answers requests last. What was started is closed again when a later part fails. */
export async function startParley(
  config: Config,
  options: { logger: Logger; print: (line: string) => void },
): Promise<Parley> {
  const { logger } = options;
  const clock = createSystemClock();
  const closing = new AsyncDisposableStack();
  try {
    const stores = await openStores(config, { ...options, clock, closing });
    const { events, documents, keys, mailer } = stores;
    await requireSameLog(stores);
    const publicUrl = publicUrlOf(config);
    const secrets = deriveSecrets(stores.secret);
    const embedded = config.eventStoreUrl === null;
    const owner = embedded ? 'embedded' : `${process.pid}-${randomUUID()}`;

    const commands = await createCommandHandler({ events, documents, clock, logger });
    closing.defer(() => commands.close());
    const run = config.roles.has('projections');
    const projections = createProjections({ events, documents, clock, logger, projections: catalogue, owner, run });
    closing.defer(() => projections.close());
    projections.start();

    const limits = config.limits === 'off' ? 'off' : config.limits;
    const identity = await createIdentity({ commands, keys, clock, secrets, publicUrl, limits });

    const lease = createLease({ documents, clock, logger, name: 'account-mails', owner });
    const mails = createReactionRunner(
      { events, documents, clock, logger, lease },
      createAccountMails({ accounts: identity.mailAccounts, mailer, publicUrl }),
    );
    await mails.prepare();
    if (config.roles.has('mail')) startInBackground((signal) => mails.run(signal), closing);

    const rooms = createRoomsView(projections.readModels);
    const hub = new Hub({ events, memberships: (userId, position) => rooms.ofUser(userId, position), clock, logger });
    closing.defer(() => hub.close());
    await hub.start();

    const app = await buildApp({
      config: {
        publicUrl,
        version: VERSION,
        trustProxy: config.trustProxy,
        allowedOrigins: config.allowedOrigins,
        socketsPerUser: limits === 'off' ? Number.MAX_SAFE_INTEGER : limits.socketsPerUser,
        rateLimits: limits === 'off' ? 'off' : limits.rates,
      },
      logger,
      clock,
      identity,
      conversations: createConversations({ commands, events, logger }),
      claims: createClaims({ events, commands, clock, logger, secret: secrets.ids }),
      readModels: projections.readModels,
      hub,
      parts: partsOf(stores, projections),
    });
    closing.defer(() => app.close());
    const url = await app.listen({ host: config.host, port: config.port });
    return { url, projections, close: () => closing.disposeAsync() };
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}

/** Notes with the documents which log they derive from, and refuses those of another. */
async function requireSameLog({ events, documents }: Stores): Promise<void> {
  await documents.define([{ name: LOG.collection, indexes: [] }]);
  const epoch = await events.epoch();
  await documents.apply({ writes: [{ ...LOG, position: '0', guard: null, body: { epoch } }] });
  const stored = (await documents.getMany(LOG.collection, [LOG.id])).get(LOG.id);
  if (stored?.body.epoch === epoch) return;
  const words = 'the documents were made from another event log: bring the two together again, or remove the documents';
  throw new StoreError('INVALID', words);
}

function startInBackground(run: (signal: AbortSignal) => Promise<void>, closing: AsyncDisposableStack): void {
  const stop = new AbortController();
  const running = run(stop.signal);
  closing.defer(async () => {
    stop.abort();
    await running;
  });
}

function partsOf({ events, documents }: Stores, projections: Projections): readonly Part[] {
  const answers = (what: () => Promise<unknown>) => async () => {
    await what();
    return null;
  };
  return [
    { name: 'event-store', check: answers(() => events.head()) },
    { name: 'documents', check: answers(() => documents.getMany(LOG.collection, [LOG.id])) },
    ...catalogue.map(({ name }) => ({
      name: `projection:${name}`,
      async check() {
        const status = (await projections.status()).find((candidate) => candidate.name === name);
        if (status?.parked)
          return `parked at ${status.parked.position} (${status.parked.type}): ${status.parked.message}`;
        return status?.unavailable ?? null;
      },
    })),
  ];
}
