#!/usr/bin/env bash
# Runs a server for tests that speaks MongoDB's protocol, in memory, on loopback: mongo-java-server, with what MongodbServer.java beside this
# puts right. The first line of its output is the connection string. It ends with its standard input, or by a signal.
# Needs a JDK (17 or later) and Maven; at the first start it fetches the library and compiles, into the user's cache.
#
#     scripts/services/mongodb.sh [port]        default: any that is free
set -euo pipefail

library=de.bwaldvogel:mongo-java-server-memory-backend:1.47.0
copier=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/MongodbServer.java
cache=${XDG_CACHE_HOME:-$HOME/.cache}/parley
home=$cache/mongodb-server-$(cat "$source" "${BASH_SOURCE[0]}" | cksum | cut -d' ' -f1)

install() {
  local tool work group artifact version
  for tool in mvn javac java; do
    command -v "$tool" >/dev/null || { echo "mongodb.sh: needs $tool, of a JDK (17 or later) and Maven" >&2; exit 1; }
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
  javac --release 17 -cp "$work/lib/*" -d "$work/classes" "$source" >&2
  # Whole, or not there; another may have been first.
  [[ -d $home ]] || mv "$work" "$home"
  rm -rf "$work"
  trap - EXIT
}

[[ -d $home ]] || install
exec java -XX:+UseSerialGC -Xmx1g -Dslf4j.internal.verbosity=ERROR -cp "$home/lib/*:$home/classes" MongodbServer "${1:-0}"
