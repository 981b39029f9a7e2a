import { hypertable } from '../../src/schema/index.ts'
import { readingColumns } from '../hot/create-test-hypertable.ts'

/** As `readings`, without a key. */
export const samples = hypertable('public.samples', {
  columns: readingColumns,
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  changeCell: '1 hour',
  freeze: { after: '7 days' },
  retain: '30 days',
})
