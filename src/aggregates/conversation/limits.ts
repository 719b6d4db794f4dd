/** The most members that a conversation can have. */
export const MEMBERS_MAX = 10_000;

/** How many of its latest messages a conversation knows by id. Among them it distinguishes a repeated send from a new message. */
export const KNOWN_MESSAGES = 5_000;
