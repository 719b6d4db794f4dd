import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createMemoryLimits } from '../adapters/memory/limits.ts';
import { createOutboxMailer } from '../adapters/smtp/outbox-mailer.ts';
import { createSmtpMailer } from '../adapters/smtp/smtp-mailer.ts';
import { openSqliteDocuments } from '../adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../adapters/sqlite/keys.ts';
import { restrictFiles } from '../adapters/system/file-modes.ts';
import { readOrCreateSecret } from '../adapters/system/secret-file.ts';
import { type Config, mailFromOf } from '../config/config.ts';
import { InsuredLimits } from '../identity/insured-limits.ts';
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

  const stores = shared === null ? await openEmbedded() : await openShared(shared);
  const from = mailFromOf(config);
  const mailer = own(
    config.smtpUrl === null
      ? createOutboxMailer({ folder: join(dataDir, 'outbox'), from, print })
      : createSmtpMailer({ url: config.smtpUrl, from, clock, dkim: config.dkim }),
  );
  return { ...stores, mailer };

  async function openEmbedded(): Promise<Omit<Stores, 'mailer'>> {
    const events = own(await openSqliteEventStore({ path: join(dataDir, 'events.db'), clock, random, logger }));
    await requireFiles(events, dataDir, { secret: config.secret === null });
    const secret = config.secret ?? (await readOrCreateSecret(dataDir));
    const documents = own(await openSqliteDocuments({ path: join(dataDir, 'documents.db'), clock, logger }));
    const keys = own(await openSqliteKeys({ path: join(dataDir, 'keys.db'), secret: Buffer.from(secret), random }));
    return { secret, events, documents, keys, sharedLimits: own(createMemoryLimits({ clock })) };
  }

  /** The clients of shared stores are loaded where they are used: they take 20 MB that an embedded node does not need. */
  async function openShared({
    eventStoreUrl,
    mongoUrl,
  }: NonNullable<Config['shared']>): Promise<Omit<Stores, 'mailer'>> {
    const [{ openEventStoreDb }, { openMongoDocuments }, { openMongoKeys }, { openMongoLimits }] = await Promise.all([
      import('../adapters/eventstoredb/event-store.ts'),
      import('../adapters/mongodb/documents.ts'),
      import('../adapters/mongodb/keys.ts'),
      import('../adapters/mongodb/limits.ts'),
    ]);
    const events = own(await openEventStoreDb({ url: eventStoreUrl, clock, random, logger }));
    const secret = config.secret ?? (await readOrCreateSecret(dataDir));
    const documents = own(await openMongoDocuments({ url: mongoUrl, clock, random, logger }));
    const keys = own(await openMongoKeys({ url: mongoUrl, secret: Buffer.from(secret), random, logger }));
    const limits = await openMongoLimits({ url: mongoUrl, secret: Buffer.from(secret), clock, random, logger });
    const sharedLimits = own(new InsuredLimits(limits, createMemoryLimits({ clock }), { clock, random, logger }));
    return { secret, events, documents, keys, sharedLimits };
  }
}
