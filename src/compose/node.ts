import { eventRegistry } from '../aggregates/registry.ts';
import { createBooks } from '../commands/books.ts';
import { createClaims } from '../commands/claims.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { createCommandHandler } from '../commands/handle-command.ts';
import { type Conversations, createConversations } from '../conversations/conversations.ts';
import { buildApp } from '../http/app.ts';
import type { App, HttpConfig, ReadinessCheck } from '../http/deps.ts';
import { buildHealthApp } from '../http/health-app.ts';
import { createIdentity, type IdentityLimits } from '../identity/create-identity.ts';
import type { Identity } from '../identity/identity.ts';
import { createOutsideTokens } from '../identity/issuers/outside-tokens.ts';
import type { IssuerSettings } from '../identity/issuers/settings.ts';
import { deriveSecrets } from '../identity/secrets.ts';
import { AppendHealth } from '../log/append-health.ts';
import { createEventLog } from '../log/create-event-log.ts';
import type { EventLog } from '../log/event-log.ts';
import type { FollowerStatus } from '../log/follower.ts';
import { Leases } from '../log/lease.ts';
import { PersonalKeys } from '../log/personal-keys.ts';
import type { OperationServices } from '../operations/operation.ts';
import { projections as catalogue } from '../projections/models/catalogue.ts';
import { createProjections, type Projections } from '../projections/runner/projections.ts';
import { createRoomsView } from '../projections/views/rooms.ts';
import { Hub } from '../push/hub.ts';
import { createAccountMails } from '../reactions/account-mails.ts';
import { createReactionRunner, type ReactionRunner } from '../reactions/reaction-runner.ts';
import { measureCommands } from '../telemetry/measure-commands.ts';
import { measureDocuments } from '../telemetry/measure-documents.ts';
import { measureEventLog } from '../telemetry/measure-event-log.ts';
import { measureMailer } from '../telemetry/measure-mailer.ts';
import { observeConnections } from '../telemetry/observe-connections.ts';
import { observeFollowers } from '../telemetry/observe-followers.ts';
import { createErasureWork } from './erasures.ts';
import { requireSameInstallation } from './installation.ts';
import type { Ports } from './ports.ts';
import { followerCheck, projectionChecks, requireSameLog, storeChecks } from './readiness.ts';

/** A task that a node performs, besides serving its health. */
export type NodeRole = 'api' | 'projections' | 'mail';

export type NodeSettings = Readonly<{
  roles: ReadonlySet<NodeRole>;
  /** Unique among the running nodes. A single node uses the same name after a restart, so that it need not wait for its own lease to expire. */
  name: string;
  /** No other node writes to the event log. */
  singleWriter: boolean;
  http: HttpConfig;
  limits: IdentityLimits | 'off';
  /** The outside issuers whose access tokens are accepted. */
  issuers: IssuerSettings;
  /** Further checks of `/readyz`. */
  readinessChecks?: readonly ReadinessCheck[];
}>;

/** A node that was built from its ports and does not listen yet. */
export type Node = Readonly<{
  app: App;
  log: EventLog;
  personalKeys: PersonalKeys;
  commands: CommandHandler;
  identity: Identity;
  conversations: Conversations;
  projections: Projections;
  /** For the command line. */
  operations: OperationServices;
  /** `null` without the role `api`. */
  hub: Hub | null;
}>;

const NAMES = catalogue.map(({ name }) => name);

/**
 * Builds a node with these roles and starts its components. `closing` stops them in reverse order; it does not close the stores. Throws
 * `UNAVAILABLE` when a store is unavailable, `INVALID` when the documents do not match the event log, and `InstallationError` when the secret or
 * the keys do not.
 */
export async function buildNode(ports: Ports, settings: NodeSettings, closing: AsyncDisposableStack): Promise<Node> {
  const { clock, random, logger, telemetry, keys, sharedLimits } = ports;
  const { roles, name: node, http } = settings;
  const system = { clock, random, logger };
  const documents = measureDocuments(ports.documents, telemetry, clock);
  const mailer = measureMailer(ports.mailer, telemetry, clock);
  const personalKeys = new PersonalKeys({ keys, random });
  const appends = new AppendHealth(ports.events, { clock, random });
  const log = measureEventLog(
    createEventLog({ store: appends.store, registry: eventRegistry, keys: personalKeys, random }),
    telemetry,
    clock,
  );
  const secrets = deriveSecrets(ports.secret);
  await requireSameLog(log, documents);
  await requireSameInstallation({ clock, random, log, keys, secrets });

  const { singleWriter } = settings;
  const handler = await createCommandHandler({ ...system, log, documents, singleWriter });
  closing.defer(() => handler.close());
  const commands = measureCommands(handler, telemetry, clock);
  const books = createBooks({ ...system, commands, log });
  closing.defer(() => books.close());
  const run = roles.has('projections');
  const projections = createProjections({ ...system, log, documents, projections: catalogue, node, run });
  closing.defer(() => projections.close());
  await projections.prepare();
  projections.start();

  const identity = await createIdentity({
    ...system,
    ...settings,
    commands,
    books,
    keys,
    personalKeys,
    onErased: (listener) => log.onErased(listener),
    sharedLimits,
    secrets,
    publicUrl: http.publicUrl,
    outsideTokens: createOutsideTokens({
      ...system,
      webDocuments: ports.webDocuments,
      settings: settings.issuers,
      ownIssuer: http.publicUrl,
    }),
  });
  const accountMails = createAccountMails({ accounts: identity.mailAccounts, mailer, publicUrl: http.publicUrl });
  const lease = new Leases({ ...system, documents, role: 'mail', node, partitions: 1 });
  const mails = createReactionRunner({ ...system, log, documents, lease }, accountMails);
  await mails.prepare();
  if (roles.has('mail')) runUntilClosed((signal) => mails.run(signal), closing);

  const { readModels } = projections;
  const steps = identity.erasures;
  const erasures = createErasureWork({ ...system, log, documents, personalKeys, readModels, steps, node });
  await erasures.reaction.prepare();
  // Erasures read what projections write.
  if (run) runUntilClosed((signal) => erasures.run(signal), closing);

  const hub = roles.has('api') ? await startHub(ports, log, projections, closing) : null;
  observeFollowers(telemetry, () => followersOf(projections, [mails, erasures.reaction], hub), clock);
  const readinessChecks = [
    ...storeChecks(ports, appends),
    ...projectionChecks(projections, NAMES),
    followerCheck(accountMails.name, () => mails.status()),
    followerCheck('erasures', () => erasures.reaction.status()),
    ...(hub === null ? [] : [followerCheck('push', () => hub.status())]),
    ...(settings.readinessChecks ?? []),
  ];
  const conversations = createConversations({ commands, books });
  // Only the embedded store forgets whole streams.
  const claims = createClaims({ ...system, log, commands, secret: secrets.ids, forgetsStreams: singleWriter });
  closing.defer(() => claims.close());
  const shared = { ...system, telemetry, readinessChecks, sharedLimits, config: http };
  const app =
    hub === null
      ? await buildHealthApp(shared, 'no-api')
      : await buildApp({ ...shared, log, identity, conversations, claims, readModels, hub });
  closing.defer(() => app.close());
  const parked = [mails.parked, erasures.reaction.parked];
  const operations: OperationServices = { parked, signingKeys: identity.signingKeys };
  return { app, log, personalKeys, commands, identity, conversations, projections, operations, hub };
}

/** The HTTP application of a node that waits for its stores. */
export function buildWaitingApp(ports: Ports, config: HttpConfig): Promise<App> {
  const readinessChecks: readonly ReadinessCheck[] = storeChecks(ports);
  return buildHealthApp({ ...ports, config, readinessChecks }, 'starting');
}

async function startHub(
  { telemetry, ...ports }: Ports,
  log: EventLog,
  projections: Projections,
  closing: AsyncDisposableStack,
): Promise<Hub> {
  const rooms = createRoomsView(projections.readModels);
  const hub = new Hub({ ...ports, log, memberships: (userId, position) => rooms.ofUser(userId, position) });
  closing.defer(() => hub.close());
  await hub.start();
  observeConnections(telemetry, hub);
  return hub;
}

async function followersOf(
  projections: Projections,
  reactions: readonly ReactionRunner[],
  hub: Hub | null,
): Promise<readonly FollowerStatus[]> {
  const running = await Promise.all(reactions.map((reaction) => reaction.status()));
  const followers = [...(await projections.followers()), ...running, await hub?.status()];
  return followers.filter((status) => status != null);
}

function runUntilClosed(run: (signal: AbortSignal) => Promise<void>, closing: AsyncDisposableStack): void {
  const stop = new AbortController();
  const running = run(stop.signal);
  closing.defer(async () => {
    stop.abort();
    await running;
  });
}
