#!/bin/bash
# Starts a member of the replica set. Members authenticate to each other with a key file that only mongod can read. The key is derived from the
# administrator's password, which grants the same access, and is kept in memory only (/tmp is a tmpfs).
set -euo pipefail
umask 077
digest=$(printf 'parley replica set %s' "$MONGO_INITDB_ROOT_PASSWORD" | sha256sum)
printf '%s\n' "${digest%% *}" >/tmp/replica-set.key
exec docker-entrypoint.sh mongod --replSet parley --keyFile /tmp/replica-set.key --bind_ip_all
