/** The most members that a conversation can have. */
export const MEMBERS_MAX = 10_000;

/** How many of its latest messages a conversation knows by id. Among them it distinguishes a repeated send from a new message. */
export const KNOWN_MESSAGES = 5_000;

/**
 * How many older messages are read at most to find out whether one has a given id. Where more might have it, a send is refused as uncertain: only in a
 * conversation with many millions of messages, or with hundreds of thousands whose ids have a time far from theirs.
 */
export const SEARCHED_MESSAGES = 16_384;
