import { type FieldError, isStoreError, Refusal, type RefusalCode } from '../../kernel/errors.ts';

/** What else can be wrong with a request, beside what an aggregate refuses. */
export type HttpCode =
  | 'method-not-allowed'
  | 'request-timeout'
  | 'too-large'
  | 'unsupported-media-type'
  | 'header-too-large'
  | 'internal';

export type ProblemCode = RefusalCode | HttpCode;

/** Problem details as RFC 9457 has them, with the stable `code` and, for bad input, what is wrong where. */
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

/** Status and title of each code. The only place where a status is given to a refusal. */
export const problemKinds = {
  malformed: { status: 400, title: 'Malformed request' },
  unauthenticated: { status: 401, title: 'Not signed in' },
  forbidden: { status: 403, title: 'Not allowed' },
  'invalid-link': { status: 403, title: 'Link not valid' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'request-timeout': { status: 408, title: 'Request took too long to arrive' },
  'already-exists': { status: 409, title: 'Already exists' },
  'username-taken': { status: 409, title: 'Username taken' },
  'rule-broken': { status: 409, title: 'Against the rules' },
  'send-uncertain': { status: 409, title: 'Sending uncertain' },
  'revision-mismatch': { status: 412, title: 'Changed meanwhile' },
  'too-large': { status: 413, title: 'Too large' },
  'unsupported-media-type': { status: 415, title: 'Media type not supported' },
  'out-of-range': { status: 422, title: 'Value out of range' },
  'key-reused': { status: 422, title: 'Idempotency key reused' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'header-too-large': { status: 431, title: 'Header too large' },
  internal: { status: 500, title: 'Internal error' },
  unavailable: { status: 503, title: 'Unavailable' },
  'outcome-unknown': { status: 503, title: 'Outcome unknown' },
  'not-yet-visible': { status: 503, title: 'Not yet visible' },
} as const satisfies Record<ProblemCode, { status: number; title: string }>;

/** An error as its reader is to see it. `retryAfterS`: when to try again, for the `Retry-After` header. */
export type Told = Readonly<{ problem: Problem; retryAfterS: number | null }>;

/** When to try again where nothing better is known, in ms. */
const RETRY_MS = 1_000;
const retried: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'too-many-requests',
  'unavailable',
  'outcome-unknown',
  'not-yet-visible',
]);

/**
 * What may be told of an error. Of one that nobody foresaw that is only that it happened: its words may carry what is nobody's business.
 * @param instance the path of the request, or another name for the occurrence
 */
export function tell(error: unknown, instance: string): Told {
  if (error instanceof Refusal) return told(error.code, error.message, instance, error);
  if (isStoreError(error, 'UNAVAILABLE', 'CLOSED')) {
    return told('unavailable', 'the store cannot be reached; nothing was written', instance);
  }
  if (isStoreError(error, 'UNKNOWN')) {
    const words =
      'no answer came in time; it may have been written: repeat it with the same Idempotency-Key to find out';
    return told('outcome-unknown', words, instance);
  }
  return tellHttpError(error, instance) ?? told('internal', 'something went wrong on our side', instance);
}

function told(
  code: ProblemCode,
  detail: string,
  instance: string,
  more: { errors?: readonly FieldError[]; retryAfterMs?: number | undefined } = {},
): Told {
  const { status, title } = problemKinds[code];
  const problem = { type: `urn:parley:problem:${code}`, title, status, detail, instance, code };
  const retryMs = more.retryAfterMs ?? (retried.has(code) ? RETRY_MS : null);
  return {
    problem: more.errors === undefined || more.errors.length === 0 ? problem : { ...problem, errors: more.errors },
    retryAfterS: retryMs === null ? null : Math.max(1, Math.ceil(retryMs / 1_000)),
  };
}

/** Fastify's own errors by what they are about; `null` for any other error. */
function tellHttpError(error: unknown, instance: string): Told | null {
  const { code, statusCode } =
    error instanceof Error ? (error as Error & { code?: unknown; statusCode?: unknown }) : {};
  if (typeof code !== 'string' || !(code.startsWith('FST_ERR_') || code.startsWith('HPE_'))) return null;
  switch (statusCode) {
    case 400:
      return told('malformed', 'the request cannot be read', instance);
    case 404:
      return told('not-found', 'there is nothing here', instance);
    case 408:
      return told('request-timeout', 'the request took too long to arrive', instance);
    case 413:
      return told('too-large', 'the body is larger than this server takes', instance);
    case 414:
      return told('not-found', 'there is nothing here', instance);
    case 415:
      return told(
        'unsupported-media-type',
        'the body must be application/json or application/x-www-form-urlencoded',
        instance,
      );
    case 431:
      return told('header-too-large', 'the header is larger than this server takes', instance);
    default:
      return null;
  }
}

/** A problem that has no refusal behind it. */
export function httpProblem(code: HttpCode | 'not-found' | 'malformed', detail: string, instance: string): Problem {
  return told(code, detail, instance).problem;
}
