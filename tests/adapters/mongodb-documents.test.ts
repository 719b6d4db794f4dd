import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { describeDocumentsContract } from '../contracts/documents.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';

describeDocumentsContract({
  ...mongodb,
  prepare: async (clock) => mongoPlace((url) => openMongoDocuments({ url, clock, logger: silentLogger })),
});
