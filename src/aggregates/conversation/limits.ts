/** The most members that a conversation can have. */
export const MEMBERS_MAX = 10_000;

/** How many of its latest messages a conversation knows by id. Among them it distinguishes a repeated send from a new message. */
export const KNOWN_MESSAGES = 5_000;

/**
 * How many older messages are read at most to find out whether one has a given id. Where more might have it, a send is refused as uncertain; a
 * conversation gets there only by several hundred thousand messages with ids whose times are far from theirs.
 */
export const SEARCHED_MESSAGES = 16_384;
