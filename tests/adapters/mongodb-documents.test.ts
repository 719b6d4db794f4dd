import { openMongoDocuments } from '../../src/adapters/mongodb/documents.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { describeDocumentsContract } from '../contracts/documents.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';

const random = createSystemRandom();

describeDocumentsContract({
  ...mongodb,
  prepare: async (clock) => mongoPlace((url) => openMongoDocuments({ url, clock, random, logger: silentLogger })),
});
