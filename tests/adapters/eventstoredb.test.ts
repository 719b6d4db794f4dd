import { describeEventStoreContract } from '../contracts/event-store.ts';
import { open, openOnServer } from './eventstoredb.ts';

describeEventStoreContract({
  name: 'EventStoreDB client over the wire-level server',
  available: true,
  open: () => openOnServer(),
});

const url = process.env.EVENTSTORE_URL;
describeEventStoreContract({
  name: 'EventStoreDB',
  available: url === undefined ? 'EVENTSTORE_URL is not set' : true,
  async open() {
    const store = await open(url ?? '');
    return { store, dispose: () => store.close() };
  },
});
