#!/usr/bin/env bash
# Runs an in-memory server for tests on the loopback interface that implements MongoDB's protocol: mongo-java-server, with the corrections of
# MongodbServer.java and MongodbIndexes.java. The first line of its output is the connection string. It exits when its standard input ends, or on a
# signal.
# Requires a JDK (17 or later) and Maven. The first start downloads the library and compiles the server into the user's cache.
#
#     scripts/services/mongodb.sh [port]        default: any free port
set -euo pipefail

library=de.bwaldvogel:mongo-java-server-memory-backend:1.47.0
copier=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=("$folder"/MongodbServer.java "$folder"/MongodbIndexes.java)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/parley
home=$cache/mongodb-server-$(cat "${sources[@]}" "${BASH_SOURCE[0]}" | cksum | cut -d' ' -f1)

install() {
  local tool work group artifact version
  for tool in mvn javac java; do
    command -v "$tool" >/dev/null || { echo "mongodb.sh: $tool not found; install a JDK (17 or later) and Maven" >&2; exit 1; }
  done
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/mongodb-server.XXXXXX")
  trap "rm -rf '$work'" EXIT
  IFS=: read -r group artifact version <<<"$library"
  cat >"$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>parley</groupId>
  <artifactId>mongodb-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  mvn -q -B -ntp -f "$work/pom.xml" "$copier:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$work/lib" </dev/null >&2
  javac --release 17 -cp "$work/lib/*" -d "$work/classes" "${sources[@]}" >&2
  # The rename makes the complete installation visible at once, unless another process was first.
  [[ -d $home ]] || mv "$work" "$home"
  rm -rf "$work"
  trap - EXIT
}

[[ -d $home ]] || install
exec java -XX:+UseSerialGC -Xmx1g -Dslf4j.internal.verbosity=ERROR -cp "$home/lib/*:$home/classes" MongodbServer "${1:-0}"
