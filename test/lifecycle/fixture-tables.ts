import { hypertable, t } from '../../src/schema/index.ts'

/** As `readings`, without a key. */
export const samples = hypertable('public.samples', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    sensor: t.text(),
    value: t.float8().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  changeCell: '1 hour',
  freeze: { after: '7 days' },
  retain: '30 days',
})
