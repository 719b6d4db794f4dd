import { describeEventStoreContract } from '../contracts/event-store.ts';
import { openInMemory, openOnFile } from './sqlite-event-store.ts';

describeEventStoreContract({ name: 'SQLite in memory', available: true, open: () => openInMemory() });
describeEventStoreContract({ name: 'SQLite on a file', available: true, open: () => openOnFile() });
