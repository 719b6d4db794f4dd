// For mongosh, against a new member: creates the replica set and Parley's user. If both exist, it only sets the user's password and roles.
// MEMBER: the address at which clients reach the member. Without ROOT_PASSWORD, no user is created (development).
const { MEMBER, ROOT_PASSWORD, PASSWORD } = process.env;
const NOT_YET_INITIALIZED = 94;
const TRIES = 60;

const admin = new Mongo('mongodb://mongodb:27017/?directConnection=true').getDB('admin');
if (ROOT_PASSWORD) admin.auth('root', ROOT_PASSWORD);

try {
  admin.runCommand({ replSetGetStatus: 1 });
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) throw error;
  admin.runCommand({ replSetInitiate: { _id: 'parley', members: [{ _id: 0, host: MEMBER }] } });
}
for (let tries = 1; !admin.runCommand({ hello: 1 }).isWritablePrimary; tries++) {
  if (tries === TRIES) throw new Error('the replica set has no primary');
  sleep(1_000);
}

if (ROOT_PASSWORD) {
  const parley = admin.getSiblingDB('parley');
  const roles = ['parley', 'parley-keys'].map((name) => ({ role: 'readWrite', db: name }));
  if (parley.getUser('parley') === null) parley.createUser({ user: 'parley', pwd: PASSWORD, roles });
  else parley.updateUser('parley', { pwd: PASSWORD, roles });
}
print('the replica set is ready');
