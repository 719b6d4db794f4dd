# Both stages use the version of Node in the optional packages of package.json; tests/deploy checks that they match.

# 1. The production dependencies.
FROM node:24.21.0-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional packages are needed: the binary of @node-rs/argon2 is one. Those that contain Node are removed: the image has it.
RUN npm ci --omit=dev --include=optional --ignore-scripts \
  && rm -r node_modules/node-linux-* node_modules/.bin/node

# 2. The server. There is no build step: Node runs the TypeScript sources.
FROM node:24.21.0-trixie-slim
# The server needs no package manager. It writes only to /data and /tmp.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
    /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
  && install -d -o 1000 -g 1000 -m 700 /data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY scripts/healthcheck.mjs scripts/compile-cache.mjs scripts/warm-up.mjs ./scripts/
COPY src ./src
# A container cannot write the cache of compiled code: it is part of the image.
RUN node --disable-warning=ExperimentalWarning scripts/warm-up.mjs
ENV NODE_ENV=production DATA_DIR=/data
# The image's user `node`, as a number, so that an orchestrator can verify that it is not root.
USER 1000:1000
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
  CMD ["node", "scripts/healthcheck.mjs"]
CMD ["node", "--disable-warning=ExperimentalWarning", "--max-semi-space-size=8", "--heap-growing-percent=40", "--import=./scripts/compile-cache.mjs", "src/main.ts"]
