import type { Clock } from '../ports/clock.ts';
import type { ApplyOutcome, DocumentStore, WriteBatch } from '../ports/documents.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { DURATION_BUCKETS } from './durations.ts';
import { storeCalls } from './store-calls.ts';

type Operation = 'define' | 'drop' | 'get-many' | 'find' | 'count' | 'apply' | 'purge';

/** The same document store, with its calls measured. */
export function measureDocuments(documents: DocumentStore, telemetry: Telemetry, clock: Clock): DocumentStore {
  const duration = telemetry.histogram({
    name: 'parley_document_store_operation_duration_seconds',
    help: 'Duration of calls to the document store.',
    labels: ['operation', 'outcome'],
    buckets: DURATION_BUCKETS,
  });
  const written = telemetry.counter({
    name: 'parley_document_store_writes_total',
    help: 'Documents written or deleted, of the batches that were answered.',
  });
  const rejected = telemetry.counter({
    name: 'parley_document_store_rejected_writes_total',
    help: 'Writes that were not done because their guard did not hold.',
  });
  const observe = storeCalls<Operation>(duration, clock);

  return {
    define: (collections) => observe('define', clock.monotonic(), documents.define(collections)),
    drop: (collection) => observe('drop', clock.monotonic(), documents.drop(collection)),
    getMany: (collection, ids) => observe('get-many', clock.monotonic(), documents.getMany(collection, ids)),
    find: (collection, query) => observe('find', clock.monotonic(), documents.find(collection, query)),
    count: (collection, filter, cap) => observe('count', clock.monotonic(), documents.count(collection, filter, cap)),
    async apply(batch) {
      const outcome = await observe('apply', clock.monotonic(), documents.apply(batch));
      written.add(countWritten(batch, outcome), {});
      rejected.add(outcome.rejected.length, {});
      return outcome;
    },
    purge: () => observe('purge', clock.monotonic(), documents.purge()),
    close: () => documents.close(),
  };
}

/** A `last` that was left out because of other rejected writes is neither written nor rejected. */
function countWritten({ writes, last }: WriteBatch, { rejected: [first, ...others] }: ApplyOutcome): number {
  if (first === undefined) return writes.length + (last === undefined ? 0 : 1);
  const isLast = last !== undefined && first.collection === last.collection && first.id === last.id;
  return isLast ? writes.length : writes.length - 1 - others.length;
}
