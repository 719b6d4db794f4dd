import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { describeDocumentsContract } from '../contracts/documents.ts';

describeDocumentsContract({
  name: 'SQLite on a file',
  available: true,
  async prepare(clock) {
    const folder = await mkdtemp(join(tmpdir(), 'parley-documents-'));
    const opened: DocumentStore[] = [];
    return {
      async open() {
        const store = await openSqliteDocuments({ path: join(folder, 'documents.db'), clock, logger: silentLogger });
        opened.push(store);
        return store;
      },
      async dispose() {
        await Promise.all(opened.map((store) => store.close()));
        await rm(folder, { recursive: true });
      },
    };
  },
});
