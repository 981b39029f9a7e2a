import { describe, expect, test } from 'vitest'
import { createAnalyticsRouter } from '../../src/protocols/index.ts'
import { type AnalyticsOptions, defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'

const columns = {
  time: t.timestamptz(),
  event_id: t.uuid().nullable(),
  event_name: t.text(),
  category: t.text(),
  user_id: t.text().nullable(),
  session_id: t.text().nullable(),
  properties: t.jsonb().nullable(),
  device_info: t.jsonb().nullable(),
}
const dedupe = { by: 'event_id', within: '7 days' } as const
const events = hypertable('events', { columns, time: 'time', dedupe })

function routeOf(options: Partial<AnalyticsOptions> = {}) {
  return defineConfig({ datasets: [events], ingest: { analytics: { into: events, ...options } } }).ingest
    .analytics!
}
const receivedAt = parseInstant('2026-05-04T10:00:00Z')
const toRows = createAnalyticsRouter(routeOf())
const rowsOf = (body: unknown) => {
  const result = toRows({ body, receivedAt, userAgent: null, address: null })
  if (typeof result === 'string') throw new Error(result)
  return result
}
/** The time of an event of 09:00 by a clock that shows `sentAt` when the batch leaves. */
const timeWhenSent = (sentAt: string | null, timestamp: unknown = '2026-05-04T09:00:00.5Z') =>
  (rowsOf({ sentAt, events: [{ event: 'a', timestamp }] }).rows[0] as { time: unknown }).time

describe('events of browsers', () => {
  test('become rows, with the id, the user and what is said of the event', () => {
    const id = '019673aa-4c10-7001-9a3e-5f0f6b7c8d90'
    const { rows, dropped, old } = rowsOf({
      sentAt: '2026-05-04T10:00:00Z',
      dropped: 3,
      events: [
        {
          id,
          event: 'asset_generated',
          category: 'assets',
          timestamp: '2026-05-04T09:59:58.002Z',
          userId: 'u',
          anonymousId: 'x',
          sessionId: 's',
          pageUrl: 'https://example.org/',
          properties: { asset_type: 'image' },
          device: { screen: '1x1' },
        },
      ],
    })
    expect(rows).toEqual([
      {
        time: '2026-05-04T09:59:58.002Z',
        event_id: id,
        event_name: 'asset_generated',
        category: 'assets',
        user_id: 'u',
        session_id: 's',
        properties: { asset_type: 'image' },
        device_info: { screen: '1x1' },
      },
    ])
    expect({ dropped, old }).toEqual({ dropped: 3, old: [] })
  })

  test('of older trackers have other names, no id, and come as a list', () => {
    const older = {
      event_name: 'page_view',
      category: 'page',
      user_id: 'u',
      session_id: 's',
      properties: { title: 'T' },
      device_info: { browser: 'Firefox' },
      timestamp: 1_777_885_199_500,
    }
    const expected = [
      {
        time: '2026-05-04T08:59:59.5Z',
        event_name: 'page_view',
        category: 'page',
        user_id: 'u',
        session_id: 's',
        properties: { title: 'T' },
        device_info: { browser: 'Firefox' },
      },
    ]
    expect(rowsOf([older]).rows).toEqual(expected)
    expect(rowsOf({ events: [older] }).rows).toEqual(expected)
    expect(rowsOf([{ ...older, timestamp: 1_777_885_199.5 }]).rows).toEqual(expected)
  })

  test('have a category, and properties, where they have none', () => {
    expect(rowsOf([{ event: 'a', timestamp: '2026-05-04T09:00:00Z' }]).rows).toEqual([
      { time: '2026-05-04T09:00:00Z', event_name: 'a', category: 'general', properties: {} },
    ])
  })

  test('that cannot be read are left as they came, for the check of rows', () => {
    expect(rowsOf([7, null, [1], { event: 'a', timestamp: 'noon' }, { event: 'a' }]).rows).toEqual([
      7,
      null,
      [1],
      { time: 'noon', event_name: 'a', category: 'general', properties: {} },
      { time: undefined, event_name: 'a', category: 'general', properties: {} },
    ])
  })

  test.each([
    ['a second ago, which is the way of the request', '2026-05-04T09:59:59Z', '2026-05-04T09:00:00.5Z'],
    ['ten seconds ago, which is left alone', '2026-05-04T09:59:50Z', '2026-05-04T09:00:00.5Z'],
    ['two days ago', '2026-05-02T10:00:00Z', '2026-05-04T10:00:00Z'],
    ['an hour late', '2026-05-04T09:10:00Z', '2026-05-04T09:50:00.5Z'],
    ['a day ahead', '2026-05-05T10:00:00Z', '2026-05-03T09:00:00.5Z'],
    ['nothing', null, '2026-05-04T09:00:00.5Z'],
  ])('have their time put right by a clock that showed %s', (_, sentAt, time) => {
    expect(timeWhenSent(sentAt)).toBe(time)
  })

  test('of the future have the time of receipt', () => {
    expect(timeWhenSent('2026-05-04T10:00:00Z', '2026-05-04T10:00:01Z')).toBe('2026-05-04T10:00:00Z')
    expect(timeWhenSent(null, '9999-01-01T00:00:00Z')).toBe('2026-05-04T10:00:00Z')
  })

  test('that are older than maxAge are told apart, with the row that they would be', () => {
    const at = (timestamp: string) => ({ event: 'a', timestamp })
    const { rows, indexes, old } = rowsOf([at('1970-01-01T00:00:00Z'), at('2026-04-04T10:00:00Z')])
    expect(rows).toHaveLength(1)
    expect(indexes).toEqual([1])
    expect(old).toMatchObject([
      { index: 0, column: 'time', value: '1970-01-01T00:00:00Z', row: { event_name: 'a' } },
    ])
    expect(old[0]!.message).toContain('more than 30 days')
    const longer = createAnalyticsRouter(routeOf({ maxAge: '60 years' }))
    expect(
      longer({ body: [at('1970-01-01T00:00:00Z')], receivedAt, userAgent: null, address: null }),
    ).toMatchObject({
      old: [],
    })
  })

  test.each([
    ['a number', 7],
    ['an object without events', {}],
    ['events that are no list', { events: {} }],
    ['a sentAt without a zone', { sentAt: '2026-05-04T10:00:00', events: [] }],
    ['a sentAt that is no time', { sentAt: true, events: [] }],
    ['a dropped that is no count', { dropped: -1, events: [] }],
  ])('are refused together where the batch is %s', (_, body) => {
    expect(toRows({ body, receivedAt, userAgent: null, address: null })).toEqual(expect.any(String))
  })

  test('go to the columns that are declared for them', () => {
    const other = hypertable('other', {
      columns: { at: t.timestamptz(), eid: t.text().nullable(), what: t.text(), agent: t.text().nullable() },
      time: 'at',
      dedupe: { by: 'eid', within: '7 days' },
    })
    const { analytics } = defineConfig({
      datasets: [other],
      ingest: { analytics: { into: other, columns: { id: 'eid', event: 'what', userAgent: 'agent' } } },
    }).ingest
    const body = [{ id: 'x', event: 'a', timestamp: '2026-05-04T09:00:00Z' }]
    expect(
      createAnalyticsRouter(analytics!)({ body, receivedAt, userAgent: 'M', address: null }),
    ).toMatchObject({
      rows: [{ at: '2026-05-04T09:00:00Z', eid: 'x', what: 'a', agent: 'M' }],
    })
  })
})

describe("a request's address", () => {
  const body = [{ id: 'x', event: 'a', timestamp: '2026-05-04T09:00:00Z' }]
  const [userAgent, address] = [null, '9.9.9.9']
  const rowOf = (into: typeof events, options: object, isAddressRead: boolean) => {
    const { analytics } = defineConfig({
      datasets: [into],
      ingest: { analytics: { into, ...options } },
    }).ingest
    const result = createAnalyticsRouter(analytics!, { isAddressRead })({
      body,
      receivedAt,
      userAgent,
      address,
    })
    return typeof result === 'string' ? null : (result.rows[0] as { ip?: string; from?: string })
  }
  const withColumn = (name: string) =>
    hypertable('events', {
      columns: { ...columns, [name]: t.text().nullable() },
      time: 'time',
      dedupe,
    }) as unknown as typeof events

  test('is there for steps that read it and take it away, and in no column but one that is named for it', () => {
    expect(rowOf(events, {}, false)).not.toHaveProperty('ip')
    expect(rowOf(events, {}, true)).toMatchObject({ ip: address })
    expect(rowOf(withColumn('ip'), {}, true)).not.toHaveProperty('ip')
    expect(rowOf(withColumn('ip'), { columns: { ip: 'ip' } }, false)).toMatchObject({ ip: address })
    const named = rowOf(withColumn('from'), { columns: { ip: 'from' } }, false)
    expect(named).toMatchObject({ from: address })
    expect(named).not.toHaveProperty('ip')
  })
})

describe('ingest.analytics is refused', () => {
  const declare = (into: typeof events, options: object = {}) =>
    defineConfig({ datasets: [into], ingest: { analytics: { into, ...options } } })
  const eventsWith = (over: object) =>
    hypertable('events', { columns, time: 'time', dedupe, ...over }) as typeof events

  test.each([
    ['event ids', eventsWith({ dedupe: undefined }), {}, /does not know the ids of events/],
    ['a week of them', eventsWith({ dedupe: { by: 'event_id', within: '1 day' } }), {}, /for 1 day/],
    [
      'an id',
      eventsWith({ columns: { ...columns, event_id: t.int4().nullable() }, dedupe: undefined }),
      {},
      /event_id.*int4/s,
    ],
    [
      'something to fill a column',
      eventsWith({ columns: { ...columns, plan: t.text() } }),
      {},
      /nothing fills column "plan"/,
    ],
    [
      'a source of that name',
      events,
      { columns: { evnt: 'event_name' } },
      /"evnt" is nothing that events have/,
    ],
    ['an origin', events, { origins: ['https://example.org/'] }, /without a path/],
    ['one at least', events, { origins: [] }, /without a path/],
    ['an age', events, { maxAge: '1 hour' }, /shorter than a day/],
    ['a known option', events, { maxAges: '1 day' }, /unknown option/],
  ])('without %s', (_, into, options, message) => {
    expect(() => declare(into, options)).toThrow(message)
  })
})
