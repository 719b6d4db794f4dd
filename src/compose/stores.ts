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
import { restrictFiles } from '../adapters/system/file-modes.ts';
import { readOrCreateSecret } from '../adapters/system/secret-file.ts';
import { type Config, mailFromOf } from '../config/config.ts';
import { requireFiles } from './installation.ts';
import type { Stores, System } from './ports.ts';

/** Opens the stores of a configuration. `closing` closes those that were opened, also when a later one fails to open. */
export async function openStores(
  config: Config,
  deps: System & Readonly<{ print: (line: string) => void; closing: AsyncDisposableStack }>,
): Promise<Stores> {
  const { clock, random, logger, print, closing } = deps;
  const { dataDir, shared } = config;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await restrictFiles(dataDir, logger);
  const own = <Store extends { close(): Promise<void> }>(store: Store): Store => {
    closing.defer(() => store.close());
    return store;
  };

  const events = own(
    shared === null
      ? await openSqliteEventStore({ path: join(dataDir, 'events.db'), clock, random, logger })
      : await openEventStoreDb({ url: shared.eventStoreUrl, clock, random, logger }),
  );
  if (shared === null) await requireFiles(events, dataDir, { secret: config.secret === null });
  const secret = config.secret ?? (await readOrCreateSecret(dataDir));
  const serverSecret = Buffer.from(secret);
  const documents = own(
    shared === null
      ? await openSqliteDocuments({ path: join(dataDir, 'documents.db'), clock, logger })
      : await openMongoDocuments({ url: shared.mongoUrl, clock, random, logger }),
  );
  const keys = own(
    shared === null
      ? await openSqliteKeys({ path: join(dataDir, 'keys.db'), secret: serverSecret, random })
      : await openMongoKeys({ url: shared.mongoUrl, secret: serverSecret, random, logger }),
  );
  const from = mailFromOf(config);
  const mailer = own(
    config.smtpUrl === null
      ? createOutboxMailer({ folder: join(dataDir, 'outbox'), from, print })
      : createSmtpMailer({ url: config.smtpUrl, from, clock }),
  );
  return { secret, events, documents, keys, mailer };
}
