import type { Erasures } from '../identity/erasure-steps.ts';
import type { EventLog } from '../log/event-log.ts';
import { Leases } from '../log/lease.ts';
import type { PersonalKeys } from '../log/personal-keys.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { ReadModels } from '../projections/runner/read-models.ts';
import { createErasuresView } from '../projections/views/erasures.ts';
import { createErasureReaction } from '../reactions/erasures.ts';
import { createReactionRunner, type ReactionRunner } from '../reactions/reaction-runner.ts';
import { repeatErasures } from '../reactions/repeat-erasures.ts';
import type { System } from './ports.ts';

type Deps = System &
  Readonly<{
    log: EventLog;
    documents: DocumentStore;
    personalKeys: PersonalKeys;
    readModels: ReadModels;
    steps: Erasures;
    node: string;
  }>;

/** What completes erasures on a node, and applies them again after a restore. `prepare` its reaction on every node. */
export type ErasureWork = Readonly<{ reaction: ReactionRunner; run(signal: AbortSignal): Promise<void> }>;

export function createErasureWork(deps: Deps): ErasureWork {
  const { clock, random, logger, log, documents, node, personalKeys, steps } = deps;
  const system = { clock, random, logger };
  const view = createErasuresView(deps.readModels);
  const groupsOf = view.groupsOf.bind(view);
  const lease = new Leases({ ...system, documents, role: 'erasures', node, partitions: 1 });
  const reaction = createReactionRunner(
    { ...system, log, documents, lease },
    createErasureReaction({ log, steps, groupsOf }),
  );
  return {
    reaction,
    async run(signal) {
      await Promise.all([reaction.run(signal), repeatErasures({ ...system, log, personalKeys, view, steps }, signal)]);
    },
  };
}
