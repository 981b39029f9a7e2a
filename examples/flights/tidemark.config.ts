import { defineConfig, hypertable, t } from 'tidemark/schema'

/** Three million flights of the first half of 2001: the file comes by npm with vega-datasets. */
export const flights = hypertable('demo.flights', {
  columns: {
    date: t.timestamptz().comment('departure; the file gives local times without a zone, read as UTC'),
    delay: t.int4().comment('minutes; negative is early'),
    distance: t.int4().comment('miles'),
    origin: t.text(),
    destination: t.text(),
  },
  time: 'date',
  chunk: '7 days',
  orderBy: ['origin', 'date'],
  indexes: [['origin', '-date']],
  comment: 'Flights of the USA, January to June 2001.',
})

// nothing is kept of answers: the demo asks the same before and after rows move, and both are to be computed
export default defineConfig({ datasets: [flights], boards: ['boards/*.json'], cache: { memory: 0 } })
