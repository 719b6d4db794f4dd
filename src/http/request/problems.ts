import { type FieldError, isStoreError, Refusal, type RefusalCode } from '../../kernel/errors.ts';

/** Errors of HTTP, besides the refusals of the application. */
export type HttpCode =
  | 'method-not-allowed'
  | 'request-timeout'
  | 'too-large'
  | 'unsupported-media-type'
  | 'range-not-satisfiable'
  | 'header-too-large'
  | 'internal';

export type ProblemCode = RefusalCode | HttpCode;

/** A request was rejected by the rules of HTTP, with a message for the client. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly code: HttpCode;

  constructor(code: HttpCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Problem details (RFC 9457) with a stable `code` and, for invalid input, the `errors` of its fields. */
export type Problem = Readonly<{
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: ProblemCode;
  errors?: readonly FieldError[];
}>;

/** The media type of a problem. */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** Status and title of each code. The only place that assigns a status to a refusal. */
export const problemKinds = {
  malformed: { status: 400, title: 'Malformed request' },
  unauthenticated: { status: 401, title: 'Not signed in' },
  forbidden: { status: 403, title: 'Not allowed' },
  'invalid-link': { status: 403, title: 'Invalid link' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'request-timeout': { status: 408, title: 'Request timeout' },
  'already-exists': { status: 409, title: 'Already exists' },
  'username-taken': { status: 409, title: 'Username taken' },
  'rule-broken': { status: 409, title: 'Conflict with a rule' },
  'send-uncertain': { status: 409, title: 'Unknown whether the message was sent' },
  'revision-mismatch': { status: 412, title: 'Resource has changed' },
  'too-large': { status: 413, title: 'Too large' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  'range-not-satisfiable': { status: 416, title: 'Range not satisfiable' },
  'out-of-range': { status: 422, title: 'Value out of range' },
  'key-reused': { status: 422, title: 'Idempotency key reused' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'header-too-large': { status: 431, title: 'Header too large' },
  internal: { status: 500, title: 'Internal error' },
  unavailable: { status: 503, title: 'Unavailable' },
  'outcome-unknown': { status: 503, title: 'Outcome unknown' },
  'not-yet-visible': { status: 503, title: 'Not yet visible' },
} as const satisfies Record<ProblemCode, { status: number; title: string }>;

/** An error as it is sent to the client. `retryAfterS`: the value of the `Retry-After` header, if any. */
export type ProblemResponse = Readonly<{ problem: Problem; retryAfterS: number | null }>;

/** When to try again if nothing better is known, in ms. */
const RETRY_MS = 1_000;
/** Problems that always carry a time to try again. */
const retried: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'too-many-requests',
  'unavailable',
  'outcome-unknown',
  'not-yet-visible',
]);

/**
 * Turns an error into a problem. Of an unexpected error only the fact is reported, because its message may hold internal or personal data.
 * @param instance the path of the request, or another name for the occurrence
 */
export function toProblem(error: unknown, instance: string): ProblemResponse {
  if (error instanceof Refusal) return problemOf(error.code, error.message, instance, error);
  if (error instanceof HttpProblem) return problemOf(error.code, error.message, instance);
  if (isStoreError(error, 'UNAVAILABLE', 'CLOSED')) {
    return problemOf('unavailable', 'the store cannot be reached; nothing was written', instance);
  }
  if (isStoreError(error, 'UNKNOWN')) {
    const detail =
      'the store did not answer in time; the write may have happened: repeat the request with the same Idempotency-Key to find out';
    return problemOf('outcome-unknown', detail, instance);
  }
  return fromLibrary(error, instance) ?? problemOf('internal', 'an internal error occurred', instance);
}

function problemOf(
  code: ProblemCode,
  detail: string,
  instance: string,
  more: { errors?: readonly FieldError[]; retryAfterMs?: number | undefined } = {},
): ProblemResponse {
  const { status, title } = problemKinds[code];
  const problem = { type: `urn:parley:problem:${code}`, title, status, detail, instance, code };
  const retryMs = more.retryAfterMs ?? (retried.has(code) ? RETRY_MS : null);
  return {
    problem: more.errors === undefined || more.errors.length === 0 ? problem : { ...problem, errors: more.errors },
    retryAfterS: retryMs === null ? null : Math.max(1, Math.ceil(retryMs / 1_000)),
  };
}

/** Client errors (4xx) of Fastify, its plugins and Node.js, by their status; `null` for any other error. Their messages are not for clients. */
function fromLibrary(error: unknown, instance: string): ProblemResponse | null {
  if (!(error instanceof Error)) return null;
  const { statusCode } = error as Error & { statusCode?: unknown };
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode >= 500) return null;
  const [code, detail] = LIBRARY_PROBLEMS[statusCode] ?? ['malformed', 'the request could not be processed'];
  return problemOf(code, detail, instance);
}

const NOTHING_HERE = ['not-found', 'there is no resource at this path'] as const;

const LIBRARY_PROBLEMS: Readonly<Record<number, readonly [ProblemCode, string]>> = {
  400: ['malformed', 'the request could not be parsed'],
  // A static file outside of its folder.
  403: NOTHING_HERE,
  404: NOTHING_HERE,
  // Longer than the path of any route.
  414: NOTHING_HERE,
  408: ['request-timeout', 'the request took too long to arrive'],
  412: ['revision-mismatch', 'the resource does not meet the precondition'],
  413: ['too-large', 'the body exceeds the size limit'],
  415: ['unsupported-media-type', 'the body must be application/json or application/x-www-form-urlencoded'],
  416: ['range-not-satisfiable', 'the resource does not have this range'],
  431: ['header-too-large', 'the header exceeds the size limit'],
};

/** A problem that is not caused by a refusal. */
export function httpProblem(
  code: HttpCode | 'not-found' | 'malformed' | 'too-many-requests',
  detail: string,
  instance: string,
): Problem {
  return problemOf(code, detail, instance).problem;
}
