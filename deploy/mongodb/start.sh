#!/bin/bash
# Starts a member of the replica set. Members know each other by a key, in a file that only mongod can read: it is derived from the administrator's
# password, which opens as much, and lives in memory (/tmp is a tmpfs).
set -euo pipefail
umask 077
digest=$(printf 'parley replica set %s' "$MONGO_INITDB_ROOT_PASSWORD" | sha256sum)
printf '%s\n' "${digest%% *}" >/tmp/replica-set.key
exec docker-entrypoint.sh mongod --replSet parley --keyFile /tmp/replica-set.key --bind_ip_all
