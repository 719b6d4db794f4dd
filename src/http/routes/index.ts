import { authenticate, limitByNetwork } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { signedInOnly } from '../openapi.ts';
import type { RateLimits } from '../request/rate-limits.ts';
import { guardPages } from '../request/security-headers.ts';
import { registerWebSocket } from '../live/websocket.ts';
import { addAccountRoutes } from './accounts.ts';
import { addConversationCommands } from './conversation-commands.ts';
import { addConversationQueries } from './conversation-queries.ts';
import { addDirectRoutes } from './direct.ts';
import { addDirectoryRoutes } from './directory.ts';
import { addDocsRoutes, addOpenApiRoute } from './docs.ts';
import { addHealthRoutes } from './health.ts';
import { addMessageRoutes } from './messages.ts';
import { addPages } from '../pages/routes.ts';
import { addSessionRoutes, addSignOutRoute } from './sessions.ts';
import { addWellKnownRoutes } from './well-known.ts';

/** Every route there is, by who may reach it. */
export async function addRoutes(app: App, deps: AppDeps, limits: RateLimits): Promise<void> {
  // Probes come often and from one address, so they are not limited.
  addHealthRoutes(app, deps);
  await addLive(app, deps, limits);
  await app.register((scope: App, _options, done) => {
    addPublicRoutes(scope, deps, limits);
    done();
  });
  await app.register((scope: App, _options, done) => {
    addSignedInRoutes(scope, deps, limits);
    done();
  });
  const secure = deps.config.publicUrl.startsWith('https:');
  await app.register((scope: App, _options, done) => {
    guardPages(scope, 'forms', secure);
    scope.addHook('onRequest', limitByNetwork(limits));
    addPages(scope, deps);
    done();
  });
  await app.register((scope: App, _options, done) => {
    guardPages(scope, 'docs', secure);
    scope.addHook('onRequest', limitByNetwork(limits));
    addDocsRoutes(scope);
    done();
  });
}

function addPublicRoutes(scope: App, deps: AppDeps, limits: RateLimits): void {
  scope.addHook('onRequest', limitByNetwork(limits));
  addAccountRoutes(scope, deps, limits);
  addSessionRoutes(scope, deps);
  addWellKnownRoutes(scope, deps);
  addOpenApiRoute(scope);
}

function addSignedInRoutes(scope: App, deps: AppDeps, limits: RateLimits): void {
  scope.addHook('onRequest', authenticate(deps.identity, limits));
  scope.addHook('onRoute', (route) => {
    route.schema = { ...route.schema, security: signedInOnly };
  });
  addSignOutRoute(scope, deps);
  addDirectoryRoutes(scope, deps);
  addConversationCommands(scope, deps);
  addConversationQueries(scope, deps);
  addMessageRoutes(scope, deps, limits);
  addDirectRoutes(scope, deps, limits);
}

async function addLive(app: App, deps: AppDeps, limits: RateLimits): Promise<void> {
  const { config, hub, identity, conversations, clock, logger } = deps;
  await registerWebSocket(app, {
    hub,
    identity,
    conversations,
    clock,
    logger,
    limits,
    socketsPerUser: config.socketsPerUser,
    allowedOrigins: [new URL(config.publicUrl).origin, ...config.allowedOrigins],
  });
}
