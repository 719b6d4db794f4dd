import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { KeyStore } from '../ports/keys.ts';
import type { SharedLimits } from '../ports/limit-store.ts';
import type { Mailer } from '../ports/mailer.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { WebDocuments } from '../ports/web-documents.ts';

/** Time, randomness and logging of a process. */
export type System = Readonly<{ clock: Clock; random: Random; logger: Logger }>;

/** The stores and the mailer of a node, and the secret that all nodes of an installation share. */
export type Stores = Readonly<{
  secret: string;
  events: EventStore;
  documents: DocumentStore;
  keys: KeyStore;
  /** The counts of what guards accounts. */
  sharedLimits: SharedLimits;
  mailer: Mailer;
}>;

/** All ports that a node is built from. */
export type Ports = System & Stores & Readonly<{ telemetry: Telemetry; webDocuments: WebDocuments }>;
