import { type Static, type TObject, type TProperties, Type } from 'typebox';

/** Ids and times as they stand in events; see `kernel/ids.ts`. */
export const ObjectId = Type.String({ pattern: '^[0-9a-f]{24}$' });
export const Uuid = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
export const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
/** A number in a sequence that starts at 1; 0 stands for "before the first". */
export const Sequence = Type.Integer({ minimum: 0 });

/** An object without surplus fields. */
export const closed = <P extends TProperties>(properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false });

/** The union of events that a table of schemas describes, type by type. */
export type EventsOf<Schemas extends Record<string, TObject>> = {
  [Name in keyof Schemas & string]: Readonly<{ type: Name; data: Readonly<Static<Schemas[Name]>> }>;
}[keyof Schemas & string];
