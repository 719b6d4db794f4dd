import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openEventStoreDb } from '../adapters/eventstoredb/event-store.ts';
import { openMongoDocuments } from '../adapters/mongodb/documents.ts';
import { openMongoKeys } from '../adapters/mongodb/keys.ts';
import { createOutboxMailer } from '../adapters/smtp/outbox-mailer.ts';
import { createSmtpMailer } from '../adapters/smtp/smtp-mailer.ts';
import { openSqliteDocuments } from '../adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../adapters/sqlite/keys.ts';
import { readOrCreateSecret } from '../adapters/system/secret-file.ts';
import { eventRegistry } from '../aggregates/registry.ts';
import { type Config, mailFromOf } from '../config/config.ts';
import type { Part } from '../http/deps.ts';
import { StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { KeyStore } from '../ports/keys.ts';
import type { Mailer } from '../ports/mailer.ts';

/** Everything outside the process, behind its port. */
export type Stores = Readonly<{
  secret: string;
  events: EventStore;
  documents: DocumentStore;
  keys: KeyStore;
  mailer: Mailer;
}>;

/** Opens what the configuration names; what was opened is closed with `closing`, also when a later one fails. */
export async function openStores(
  config: Config,
  deps: { clock: Clock; logger: Logger; print: (line: string) => void; closing: AsyncDisposableStack },
): Promise<Stores> {
  const { clock, logger, print, closing } = deps;
  const { dataDir } = config;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const secret = config.secret ?? (await readOrCreateSecret(dataDir));
  const own = <Store extends { close(): Promise<void> }>(store: Store): Store => {
    closing.defer(() => store.close());
    return store;
  };

  const { eventStoreUrl, mongoUrl } = config;
  const registry = eventRegistry;
  const events = own(
    eventStoreUrl === null
      ? await openSqliteEventStore({ path: join(dataDir, 'events.db'), registry, clock, logger })
      : await openEventStoreDb({ url: eventStoreUrl, registry, clock, logger }),
  );
  const sealing = Buffer.from(secret);
  const documents = own(
    mongoUrl === null
      ? await openSqliteDocuments({ path: join(dataDir, 'documents.db'), clock, logger })
      : await openMongoDocuments({ url: mongoUrl, clock, logger }),
  );
  const keys = own(
    mongoUrl === null
      ? await openSqliteKeys({ path: join(dataDir, 'keys.db'), secret: sealing })
      : await openMongoKeys({ url: mongoUrl, secret: sealing, logger }),
  );
  const from = mailFromOf(config);
  const mailer = own(
    config.smtpUrl === null
      ? createOutboxMailer({ folder: join(dataDir, 'outbox'), from, print })
      : createSmtpMailer({ url: config.smtpUrl, from }),
  );
  return { secret, events, documents, keys, mailer };
}

/** Which log these documents were made from: positions of another one mean nothing to them. */
const LOG = { collection: 'log', id: 'log' } as const;

/** Notes with the documents which log they derive from, and refuses those of another. */
export async function requireSameLog({ events, documents }: Stores): Promise<void> {
  await documents.define([{ name: LOG.collection, indexes: [] }]);
  const epoch = await events.epoch();
  await documents.apply({ writes: [{ ...LOG, position: '0', guard: null, body: { epoch } }] });
  const stored = (await documents.getMany(LOG.collection, [LOG.id])).get(LOG.id);
  if (stored?.body.epoch === epoch) return;
  const words = 'the documents were made from another event log: bring the two together again, or remove the documents';
  throw new StoreError('INVALID', words);
}

/** The stores, for `/readyz`. */
export function partsOf({ events, documents }: Stores): readonly Part[] {
  const answers = (ask: () => Promise<unknown>) => async () => {
    await ask();
    return null;
  };
  return [
    { name: 'event-store', check: answers(() => events.head()) },
    { name: 'documents', check: answers(() => documents.getMany(LOG.collection, [LOG.id])) },
  ];
}
