import { type Static, type TObject, type TProperties, Type } from 'typebox';
import type { EventDefinition } from '../kernel/event-definition.ts';
import { OBJECT_ID, UUID } from '../kernel/ids.ts';

/** Ids and times as they stand in events; see `kernel/ids.ts`. */
export const ObjectId = Type.String({ pattern: OBJECT_ID.source });
export const Uuid = Type.String({ pattern: UUID.source });
export const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
/** A number in a sequence that starts at 1; 0 stands for "before the first". */
export const Sequence = Type.Integer({ minimum: 0 });

/** An object without surplus fields. */
export const closed = <P extends TProperties>(properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false });

/**
 * One row of an aggregate's table of events: the schema of the data, and what else the event log needs to know. `PersonalField`: names of the
 * personal fields.
 */
export type EventSpec<P extends TProperties = TProperties, PersonalField extends string = string> = Readonly<{
  schema: TObject<P>;
  /** See `EventDefinition`. */
  personal: Readonly<Record<PersonalField, keyof P & string>>;
  upcasters: EventDefinition['upcasters'];
  erases: (keyof P & string) | null;
}>;

type EventOptions<P extends TProperties, PersonalField extends string> = Readonly<{
  personal?: EventSpec<P, PersonalField>['personal'];
  upcasters?: EventDefinition['upcasters'];
  erases?: keyof P & string;
}>;

/**
 * Describes one type of event. `personal`: fields about a person, each with the field that holds the person's id (see `EventDefinition.personal`);
 * readers of such an event must accept `null` there. `upcasters`: one for each change of the schema since its first version.
 */
export function event<P extends TProperties, PersonalField extends keyof P & string = never>(
  properties: P,
  options: EventOptions<P, PersonalField> = {},
): EventSpec<P, PersonalField> {
  const { upcasters = [], erases = null } = options;
  // Without the option, `PersonalField` is `never`.
  const personal = options.personal ?? ({} as EventSpec<P, PersonalField>['personal']);
  return { schema: closed(properties), personal, upcasters, erases };
}

/** Data as it is read: a personal field is `null` once its person was erased. */
type DataOf<Spec> =
  Spec extends EventSpec<infer P, infer PersonalField>
    ? Readonly<{
        [Field in keyof Static<TObject<P>>]: Field extends PersonalField
          ? Static<TObject<P>>[Field] | null
          : Static<TObject<P>>[Field];
      }>
    : never;

/** The union of events that a table describes, type by type. */
export type EventsOf<Table extends Readonly<Record<string, unknown>>> = {
  [Name in keyof Table & string]: Readonly<{ type: Name; data: DataOf<Table[Name]> }>;
}[keyof Table & string];
