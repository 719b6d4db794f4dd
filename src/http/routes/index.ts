import { addCommandRoutes } from '../commands/add-command-routes.ts';
import { publicCommands, signedInCommands } from '../commands/index.ts';
import type { App, AppDeps } from '../deps.ts';
import { registerWebSocket } from '../live/websocket.ts';
import { signedInOnly } from '../openapi.ts';
import { addPages } from '../pages/routes.ts';
import { authenticate, limitByNetwork } from '../request/authentication.ts';
import type { RateLimits } from '../request/rate-limits.ts';
import { guardPages, securityHeaders } from '../request/security-headers.ts';
import { addConversationQueries } from './conversation-queries.ts';
import { addDirectQueries } from './direct-queries.ts';
import { addDocsRoutes, addOpenApiRoute } from './docs.ts';
import { addExport } from './export.ts';
import { addHealthRoutes } from './health.ts';
import { addMessageQueries } from './message-queries.ts';
import { addMetricsRoute } from './metrics.ts';
import { addPasswordLinkQuery } from './password-links.ts';
import { addSessionRoutes } from './sessions.ts';
import { addUserQueries } from './user-queries.ts';
import { addWellKnownRoutes } from './well-known.ts';

/** All routes, grouped by who can reach them. */
export async function addRoutes(app: App, deps: AppDeps, limits: RateLimits): Promise<void> {
  // Probes and scrapes come often and from one address, so they are not limited.
  addHealthRoutes(app, deps);
  addMetricsRoute(app, deps);
  await addLive(app, deps, limits);
  await app.register((scope: App, _options, done) => {
    addPublicRoutes(scope, deps, limits);
    done();
  });
  await app.register((scope: App, _options, done) => {
    addSignedInRoutes(scope, deps, limits);
    done();
  });
  await app.register((scope: App, _options, done) => {
    guardPages(scope, 'forms');
    scope.addHook('onRequest', limitByNetwork(limits));
    addPages(scope, deps);
    done();
  });
  await app.register((scope: App, _options, done) => {
    guardPages(scope, 'docs');
    scope.addHook('onRequest', limitByNetwork(limits));
    addDocsRoutes(scope);
    done();
  });
}

function addPublicRoutes(scope: App, deps: AppDeps, limits: RateLimits): void {
  scope.addHook('onRequest', limitByNetwork(limits));
  addCommandRoutes(scope, deps, limits, publicCommands);
  addPasswordLinkQuery(scope, deps);
  addSessionRoutes(scope, deps);
  addWellKnownRoutes(scope, deps);
  addOpenApiRoute(scope);
}

function addSignedInRoutes(scope: App, deps: AppDeps, limits: RateLimits): void {
  scope.addHook('onRequest', authenticate(deps.identity, limits));
  scope.addHook('onRoute', (route) => {
    route.schema = { ...route.schema, security: signedInOnly };
  });
  addCommandRoutes(scope, deps, limits, signedInCommands);
  addUserQueries(scope, deps, limits);
  addExport(scope, deps, limits);
  addConversationQueries(scope, deps);
  addMessageQueries(scope, deps);
  addDirectQueries(scope, deps);
}

async function addLive(app: App, deps: AppDeps, limits: RateLimits): Promise<void> {
  const { config, hub, identity, conversations, clock, random, logger } = deps;
  await registerWebSocket(app, {
    hub,
    identity,
    conversations,
    clock,
    random,
    logger,
    limits,
    socketsPerUser: config.socketsPerUser,
    anonymousSockets: config.anonymousSockets,
    allowedOrigins: [new URL(config.publicUrl).origin, ...config.allowedOrigins],
  });
  const { 'strict-transport-security': hsts } = securityHeaders(config.publicUrl);
  // The answer to an upgrade is written by the library.
  if (hsts !== undefined)
    app.websocketServer.on('headers', (lines) => lines.push(`strict-transport-security: ${hsts}`));
}
