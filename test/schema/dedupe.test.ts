import { describe, expect, it } from 'vitest'
import { decodeDefinition, encodeDefinition, hypertable, t } from '../../src/schema/index.ts'

const columns = { time: t.timestamptz(), id: t.uuid().nullable(), value: t.float8() }

function declare(dedupe: unknown) {
  return hypertable('public.clicks', { columns, time: 'time', dedupe: dedupe as never })
}

describe('event ids of a hypertable', () => {
  it('are declared by a column and a window, and kept in the catalog', () => {
    const definition = declare({ by: 'id', within: '7 days' })
    expect(definition.dedupe).toMatchObject({ by: 'id', within: { text: '7 days' } })
    const encoded = JSON.parse(JSON.stringify(encodeDefinition(definition)))
    expect(encoded.dedupe).toEqual({ by: 'id', within: '7 days' })
    expect(decodeDefinition(encoded)).toEqual(definition)
  })

  it('are not there unless they are declared, and leave older catalogs as they are', () => {
    const definition = declare(undefined)
    expect(definition.dedupe).toBeNull()
    expect(encodeDefinition(definition)).not.toHaveProperty('dedupe')
    expect(decodeDefinition(JSON.parse(JSON.stringify(encodeDefinition(definition)))).kind).toBe('hypertable')
  })

  it.each([
    [{ by: 'value', within: '1 day' }, '.dedupe.by'],
    [{ by: 'nothing', within: '1 day' }, '.dedupe.by'],
    [{ by: 'id', within: '10 seconds' }, '.dedupe.within'],
    [{ by: 'id', within: 'soon' }, '.dedupe.within'],
    [{ by: 'id' }, '.dedupe.within'],
    [{ by: 'id', within: '1 day', for: 1 }, '.dedupe.for'],
  ])('are refused as %j', (dedupe, path) => {
    expect(() => declare(dedupe)).toThrow(path)
  })
})
