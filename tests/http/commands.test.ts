import { Type } from 'typebox';
import { describe, expect, it } from 'vitest';
import { closed } from '../../src/commands/fields.ts';
import type { CommandPath } from '../../src/http/commands/command-description.ts';
import { publicCommands, signedInCommands } from '../../src/http/commands/index.ts';
import { mapRequest } from '../../src/http/commands/request-mapping.ts';
import { parseClientFrame } from '../../src/http/live/client-frames.ts';
import { createValidator } from '../../src/http/request/validation.ts';

const all = [...publicCommands, ...signedInCommands];

describe('the descriptions of commands', () => {
  it('have unique names and unique routes', () => {
    const names = all.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const routes = all.flatMap(({ paths }) => paths.map(({ method, path }) => `${method} ${path}`));
    expect(new Set(routes).size).toBe(routes.length);
  });

  it.each(all.map((command) => [command.name, command] as const))(
    '%s has a path of the API first',
    (_name, command) => {
      expect(command.paths[0]?.path).toMatch(/^\/api\/v1\//);
    },
  );

  it('select commands that share a type of frame by a required field that only one of them has', () => {
    for (const [type, commands] of Map.groupBy(signedInCommands, ({ frame }) => frame?.type)) {
      if (type === undefined || commands.length === 1) continue;
      for (const { name, frame } of commands) {
        const field = frame?.selectedBy ?? '';
        const having = commands.filter(({ input }) => input.required.includes(field));
        expect(having.map((command) => command.name)).toEqual([name]);
      }
    }
  });
});

describe('the mapping of requests', () => {
  const command = {
    name: 'PaintHouse',
    input: closed({ houseId: Type.String(), color: Type.String(), layers: Type.Optional(Type.Integer()) }),
    example: { color: 'red' },
  };
  const map = (path: Partial<CommandPath>) => mapRequest(command, { method: 'POST', path: '/houses/:id', ...path });
  const params = { id: 'houseId' };

  it('takes fields from the path, the query string and the body, and renames them', () => {
    const mapping = map({ params, query: { coats: 'layers' }, body: { paint: 'color' } });
    const input = mapping.read({ params: { id: 'h1' }, query: { coats: 2, other: 'x' }, body: { paint: 'blue' } });
    expect(input).toEqual({ houseId: 'h1', color: 'blue', layers: 2 });
    expect(mapping.schema).toMatchObject({
      params: { required: ['id'], additionalProperties: false },
      querystring: { properties: { coats: { type: 'integer' } } },
      body: { required: ['paint'], additionalProperties: false, examples: [{ paint: 'red' }] },
      consumes: ['application/json', 'application/x-www-form-urlencoded'],
    });
    expect(mapping.schema.querystring).not.toHaveProperty('additionalProperties');
  });

  it('takes all other fields from the body by default', () => {
    const mapping = map({ params });
    expect(mapping.schema.body).toMatchObject({ required: ['color'], properties: { color: {}, layers: {} } });
    expect(mapping.read({ params: { id: 'h1' }, query: {}, body: { color: 'blue' } })).toEqual({
      houseId: 'h1',
      color: 'blue',
    });
  });

  it('makes a body optional when all of its fields are, and omits a body without fields', () => {
    const [inQuery, all] = [{ color: 'color' }, { color: 'color', layers: 'layers' }];
    const optional = map({ params, query: inQuery });
    expect(optional.schema.body).toHaveProperty('x-optional-body', true);
    expect(optional.read({ params: { id: 'h1' }, query: { color: 'red' }, body: null })).toEqual({
      houseId: 'h1',
      color: 'red',
    });
    expect(map({ params, query: all }).schema).not.toHaveProperty('body');
    expect(map({ params }).schema.body).not.toHaveProperty('x-optional-body');
  });

  it.each([
    ['a parameter of the path', {}, 'PaintHouse: POST /houses/:id does not bind id'],
    ['a parameter that the path lacks', { params, path: '/houses' }, 'PaintHouse: POST /houses does not bind id'],
    ['a required field', { params, body: {} }, 'PaintHouse: POST /houses/:id does not bind color'],
  ])('fails when %s is not bound', (_name, path, message) => {
    expect(() => map(path)).toThrow(message);
  });
});

describe('the frames of commands', () => {
  const parse = (frame: object) => parseClientFrame(Buffer.from(JSON.stringify(frame)), false);
  const [group, user] = ['0'.repeat(24), '1'.repeat(24)];

  it.each([
    ['SendMessage', { type: 'send', conversationId: group, content: 'x' }],
    ['SendDirectMessage', { type: 'send', otherUserId: user, content: 'x', replyTo: null }],
    ['OpenConversation', { type: 'open', conversationId: group, seq: 3 }],
  ])('carry the input of %s as REST does', (name, frame) => {
    const { type: _, ...input } = frame;
    const { id, read } = parse({ ...frame, id: 'c1' });
    expect(id).toBe('c1');
    const received = read();
    expect(received).toMatchObject({ type: 'command', id: 'c1', command: { name }, input });
    const command = signedInCommands.find((candidate) => candidate.name === name);
    expect(() => createValidator(command?.input ?? Type.Never())(input)).not.toThrow();
  });

  it('are rejected with a field of another command', () => {
    const frame = { type: 'send', conversationId: group, otherUserId: user, content: 'x' };
    const errors = [{ path: '/conversationId', message: 'is required, or otherUserId, but not both' }];
    expect(parse(frame).read).toThrow(expect.objectContaining({ code: 'malformed', errors }));
    expect(parse({ type: 'send', content: 'x' }).read).toThrow(expect.objectContaining({ code: 'malformed', errors }));
    expect(parse({ type: 'open', conversationId: group, content: 'x' }).read).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});
