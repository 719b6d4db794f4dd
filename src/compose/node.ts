import { randomUUID } from 'node:crypto';
import { createClaims } from '../commands/claims.ts';
import { createCommandHandler } from '../commands/handle-command.ts';
import { partsOf, requireSameLog, type Stores } from './stores.ts';
import { type Config, publicUrlOf } from '../config/config.ts';
import { createConversations } from '../conversations/conversations.ts';
import { buildApp } from '../http/app.ts';
import type { App, HttpConfig, Part } from '../http/deps.ts';
import { buildHealthApp } from '../http/health-app.ts';
import { createIdentity } from '../identity/create-identity.ts';
import { deriveSecrets } from '../identity/secrets.ts';
import { StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore } from '../ports/event-store.ts';
import { projections as catalogue } from '../projections/models/catalogue.ts';
import { createProjections, type Projections } from '../projections/runner/projections.ts';
import { createLease } from '../log/lease.ts';
import { createRoomsView } from '../projections/views/rooms.ts';
import { Hub } from '../push/hub.ts';
import { createAccountMails } from '../reactions/account-mails.ts';
import { createReactionRunner } from '../reactions/reaction-runner.ts';
import { VERSION } from '../version.ts';

/** The parts of a node, wired together; what they start is closed with `closing`, the last first. */
export async function composeNode(
  config: Config,
  stores: Stores,
  deps: { clock: Clock; logger: Logger; closing: AsyncDisposableStack },
): Promise<{ app: App; projections: Projections }> {
  const { clock, logger, closing } = deps;
  const { events, documents, keys, mailer } = stores;
  await requireSameLog(stores);
  const publicUrl = publicUrlOf(config);
  const secrets = deriveSecrets(stores.secret);
  // An embedded store has one process, which need not wait for its own lease when it was killed.
  const alone = config.eventStoreUrl === null || config.mongoUrl === null;
  const owner = alone ? 'embedded' : `${process.pid}-${randomUUID()}`;

  const commands = await createCommandHandler({
    events,
    documents,
    clock,
    logger,
    alone: config.eventStoreUrl === null,
  });
  closing.defer(() => commands.close());
  const run = config.roles.has('projections');
  const projections = createProjections({ events, documents, clock, logger, projections: catalogue, owner, run });
  closing.defer(() => projections.close());
  if (config.eventStoreUrl === null) await requireWholeLog(events, projections);
  projections.start();

  const { limits } = config;
  const identity = await createIdentity({ commands, keys, clock, secrets, publicUrl, limits });
  const lease = createLease({ documents, clock, logger, name: 'account-mails', owner });
  const mails = createReactionRunner(
    { events, documents, clock, logger, lease },
    createAccountMails({ accounts: identity.mailAccounts, mailer, publicUrl }),
  );
  await mails.prepare();
  if (config.roles.has('mail')) runUntilClosed((signal) => mails.run(signal), closing);

  const parts = [...partsOf(stores), ...projectionParts(projections)];
  if (!config.roles.has('api')) {
    const app = await buildHealthApp({ parts, clock, logger }, 'no-api');
    closing.defer(() => app.close());
    return { app, projections };
  }

  const rooms = createRoomsView(projections.readModels);
  const hub = new Hub({ events, memberships: (userId, position) => rooms.ofUser(userId, position), clock, logger });
  closing.defer(() => hub.close());
  await hub.start();
  const app = await buildApp({
    config: httpConfigOf(config, publicUrl),
    logger,
    clock,
    identity,
    conversations: createConversations({ commands, events, logger }),
    claims: createClaims({ events, commands, clock, logger, secret: secrets.ids }),
    readModels: projections.readModels,
    hub,
    parts,
  });
  closing.defer(() => app.close());
  return { app, projections };
}

/**
 * Refuses documents that have seen more than the log holds: it was restored from an older backup, and what it will hold next would be passed over.
 * Only of the embedded log every checkpoint lies on an event of its own.
 */
async function requireWholeLog(events: EventStore, projections: Projections): Promise<void> {
  const head = await events.head();
  for (const { name } of catalogue) {
    const reached = await projections.readModels.checkpoint(name);
    if (reached === null || (head !== null && reached <= head)) continue;
    throw new StoreError(
      'INVALID',
      'the documents are ahead of the event log, which is an older one: remove the documents',
    );
  }
}

function httpConfigOf({ trustProxy, allowedOrigins, limits }: Config, publicUrl: string): HttpConfig {
  return {
    publicUrl,
    version: VERSION,
    trustProxy,
    allowedOrigins,
    socketsPerUser: limits === 'off' ? Number.MAX_SAFE_INTEGER : limits.socketsPerUser,
    rateLimits: limits === 'off' ? 'off' : limits.rates,
  };
}

function runUntilClosed(run: (signal: AbortSignal) => Promise<void>, closing: AsyncDisposableStack): void {
  const stop = new AbortController();
  const running = run(stop.signal);
  closing.defer(async () => {
    stop.abort();
    await running;
  });
}

function projectionParts(projections: Projections): readonly Part[] {
  return catalogue.map(({ name }) => ({
    name: `projection:${name}`,
    async check() {
      const status = (await projections.status()).find((candidate) => candidate.name === name);
      if (status?.parked)
        return `parked at ${status.parked.position} (${status.parked.type}): ${status.parked.message}`;
      if (status?.state === 'catching-up') return 'still catching up with the log: answers may be incomplete';
      return status?.unavailable ?? null;
    },
  }));
}
