# Both stages stand on the Node that package.json names among its optional packages; tests/deploy holds the two together.

# 1. The production dependencies.
FROM node:24.21.0-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional packages stay in: the binary of @node-rs/argon2 is one. Those that hold Node itself go: the image has it.
RUN npm ci --omit=dev --include=optional --ignore-scripts \
  && rm -r node_modules/node-linux-* node_modules/.bin/node

# 2. The server. Nothing is built: Node runs the TypeScript as it is.
FROM node:24.21.0-trixie-slim
# A server installs nothing, so it needs no package manager. /data is all that it may write to, beside /tmp.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
    /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
  && install -d -o 1000 -g 1000 -m 700 /data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY scripts/healthcheck.mjs ./scripts/
COPY src ./src
ENV NODE_ENV=production DATA_DIR=/data
# The image's user `node`, by its number, so that an orchestrator can see that it is not root.
USER 1000:1000
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
  CMD ["node", "scripts/healthcheck.mjs"]
CMD ["node", "--disable-warning=ExperimentalWarning", "src/main.ts"]
