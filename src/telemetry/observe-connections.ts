import type { Telemetry } from '../ports/telemetry.ts';

/** Shows the live connections of this node, read before each collection. Returns a function that ends it. */
export function observeConnections(
  telemetry: Telemetry,
  hub: Readonly<{ stats(): Readonly<{ connections: number; users: number; buffered: number }> }>,
): () => void {
  const connections = telemetry.gauge({ name: 'parley_connections', help: 'Live connections to this node.' });
  const users = telemetry.gauge({
    name: 'parley_connected_users',
    help: 'Users with at least one live connection to this node.',
  });
  const frames = telemetry.gauge({
    name: 'parley_resume_buffer_frames',
    help: 'Frames that this node keeps for clients that resume.',
  });
  return telemetry.beforeCollect(() => {
    const stats = hub.stats();
    connections.set(stats.connections, {});
    users.set(stats.users, {});
    frames.set(stats.buffered, {});
  });
}
