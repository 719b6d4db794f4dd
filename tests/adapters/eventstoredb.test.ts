import { describeEventStoreContract, type OpenedEventStore } from '../contracts/event-store.ts';
import { scavengeServer } from '../support/eventstoredb-scavenge.ts';
import { foreign, open, openOnServer } from './eventstoredb.ts';

describeEventStoreContract({
  name: 'EventStoreDB client over the wire-level server',
  available: true,
  open: () => openOnServer(),
});

describeEventStoreContract({
  name: 'EventStoreDB client over the wire-level server as KurrentDB, after 5,000 records of others',
  available: true,
  open: () => openAfterOthers(5_000),
});

const url = process.env.EVENTSTORE_URL;
describeEventStoreContract({
  name: 'EventStoreDB',
  available: url === undefined ? 'EVENTSTORE_URL is not set' : true,
  async open() {
    const store = await open(url ?? '');
    return { store, scavenge: () => scavengeServer(url ?? ''), dispose: () => store.close() };
  },
});

/** A store on a database in which others have written so many records before. */
async function openAfterOthers(count: number): Promise<OpenedEventStore> {
  const opened = await openOnServer({ product: 'KurrentDB' });
  const records = Array.from({ length: count }, (_, n) => foreign('Else', `{"n":${n}}`));
  opened.server.log.append('other-1', 'any', records);
  return opened;
}
