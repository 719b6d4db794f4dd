import type { TSchema } from 'typebox';

/**
 * Converts the text of a query string or a form to the types of a flat schema: integers, numbers, booleans and lists. Text that is not clearly of the
 * type stays as it is, for the schema to reject.
 */
export type Converter = (fields: Record<string, unknown>) => void;

const INTEGER = /^-?\d{1,15}$/;
const NUMBER = /^-?\d{1,15}(\.\d{1,15})?$/;

/** A converter for an object schema, which changes the fields in place. Made once per route. */
export function createConverter(schema: TSchema): Converter {
  const steps = Object.entries(propertiesOf(schema)).flatMap(([name, property]) => {
    const convert = converterOf(property);
    return convert === null ? [] : [{ name, convert }];
  });
  return (fields) => {
    for (const { name, convert } of steps) {
      const value = fields[name];
      if (value !== undefined) fields[name] = convert(value);
    }
  };
}

function propertiesOf(schema: TSchema): Record<string, TSchema> {
  return 'properties' in schema ? (schema.properties as Record<string, TSchema>) : {};
}

function converterOf(schema: TSchema): ((value: unknown) => unknown) | null {
  switch ('type' in schema ? schema.type : undefined) {
    case 'integer':
      return (value) => (typeof value === 'string' && INTEGER.test(value) ? Number(value) : value);
    case 'number':
      return (value) => (typeof value === 'string' && NUMBER.test(value) ? Number(value) : value);
    case 'boolean':
      return (value) => (value === 'true' ? true : value === 'false' ? false : value);
    case 'array':
      return (value) => (Array.isArray(value) ? value : [value]);
    default:
      return null;
  }
}
