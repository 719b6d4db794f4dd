/** What the resume buffer holds at most, and how much of it is read back when a node starts. */
export const BUFFER = { frames: 100_000, bytes: 16 * 1024 * 1024, ageMs: 10 * 60_000 };
export const READ_BACK = { ageMs: BUFFER.ageMs, events: 10_000 };
/** Frames of its own that a client may have missed and still resume. */
export const MISSED_MAX = 1_000;
/** Frames of its own by which a client may lag. Fewer than it may miss, so that it can resume when it is ended for that. */
export const LAG_MAX = 640;
/** How long to wait for a client's place when this node has not reached it yet, in ms: another node was faster. */
export const AHEAD_MS = 2_000;
/** Pause before a restored log is read again after it was unavailable, in ms. */
export const RESTART_MS = 1_000;
/** Frames sent in a row before other work runs. */
export const TURN = 2_000;
/** Ended sessions that are kept: their tokens may pass as valid for some seconds more. */
export const ENDED_MAX = 10_000;
