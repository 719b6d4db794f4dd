import { openMongoKeys } from '../../src/adapters/mongodb/keys.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { describeKeysContract } from '../contracts/keys.ts';
import { mongodb, mongoPlace } from '../support/mongodb.ts';

const random = createSystemRandom();

describeKeysContract({
  ...mongodb,
  prepare: async () =>
    mongoPlace((url, secret: Uint8Array) => openMongoKeys({ url, secret, random, logger: silentLogger })),
});
