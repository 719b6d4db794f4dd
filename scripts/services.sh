# Starts services for tests, in addition to the embedded stores, and exports their addresses. Source this file in bash.
# With EVENTSTORE_URL or MONGODB_URL, the tests use that EventStoreDB or MongoDB instead.

# Installs a JDK and Maven for the MongoDB-protocol server, if they are missing.
install_java() {
  command -v javac >/dev/null && command -v mvn >/dev/null && return
  command -v apt-get >/dev/null || return 1
  local sudo=''
  [[ $(id -u) -eq 0 ]] || sudo='sudo -n'
  echo 'services: installing a JDK and Maven'
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq openjdk-17-jdk-headless maven >/dev/null
}

# Runs the MongoDB-protocol server until `stop_services`, and exports its address as PARLEY_TEST_MONGODB_URL.
start_mongodb() {
  local waited=0
  services_state=$(mktemp -d)
  mkfifo "$services_state/stdin"
  # The server exits when its standard input ends. Only this descriptor keeps it open.
  exec 9<>"$services_state/stdin"
  scripts/services/mongodb.sh <"$services_state/stdin" 9>&- >"$services_state/address" 2>"$services_state/log" &
  mongodb_pid=$!
  until [[ -s $services_state/address ]]; do
    if ! kill -0 "$mongodb_pid" 2>/dev/null || ((waited++ >= 300)); then
      cat "$services_state/log"
      return 1
    fi
    sleep 1
  done
  PARLEY_TEST_MONGODB_URL=$(head -n 1 "$services_state/address")
  export PARLEY_TEST_MONGODB_URL
}

start_services() {
  [[ -n ${MONGODB_URL:-} ]] && return
  if install_java && start_mongodb; then
    echo "services: started a MongoDB-protocol server at $PARLEY_TEST_MONGODB_URL"
  else
    echo 'services: could not start a MongoDB-protocol server'
  fi
}

stop_services() {
  [[ -n ${mongodb_pid:-} ]] || return 0
  kill "$mongodb_pid" 2>/dev/null || true
  wait "$mongodb_pid" 2>/dev/null || true
  rm -rf "$services_state"
}
