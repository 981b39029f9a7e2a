import { expect, it } from 'vitest'
import { decodeDefinition, encodeDefinition, hypertable, t } from '../../src/schema/index.ts'
import { visits } from './fixture.ts'

it('what columns mean is declared, checked, and kept in the catalog', () => {
  expect(visits.events).toEqual({
    user: 'who',
    anonymous: 'device',
    event: 'what',
    session: null,
    page: 'page',
  })
  expect(decodeDefinition(JSON.parse(JSON.stringify(encodeDefinition(visits))))).toEqual(visits)
  const columns = { at: t.timestamptz(), who: t.text(), what: t.text(), worth: t.numeric() }
  const declare = (events: object) => () =>
    hypertable('a.b', { columns, time: 'at', events: events as never })
  expect(declare({ user: 'who', event: 'what' })().events).toMatchObject({ anonymous: null, page: null })
  expect(declare({ user: 'who' })).toThrow(/events\.event/)
  expect(declare({ user: 'whom', event: 'what' })).toThrow(/"whom" is not a column; did you mean "who"/)
  expect(declare({ user: 'who', event: 'worth' })).toThrow(/events\.event.*"worth" is numeric/)
  expect(declare({ user: 'who', event: 'what', pages: 'what' })).toThrow(/pages/)
  expect(encodeDefinition(hypertable('a.b', { columns, time: 'at' }))).not.toHaveProperty('events')
})
